"""The network that training-free scores look at: a design built for small images, with no branch muted.

Shapes: B images, C channels, R side of an image, pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.model import block_modules, build
from gas.patterns.units import LayerScale
from gas.plan import plan, smallest_side

CLASSES = 16
LEAST_IMAGES = 8
LEAST_TOKENS = 4  # at the end of every stage, where the design has as many


@dataclass(frozen=True, eq=False)
class Site:
    """A block of a network.

    Args:
        module: The block; called with one tensor, gives out one.
        before: Layout that comes in: `map` for (B, C, H, W), any other for (B, N, C).
        after: Layout that goes out.
    """

    module: nn.Module
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to look at.

    Args:
        network: In evaluation mode: images (B, C, R, R) -> class scores.
        blocks: Its blocks in order; each runs once in a pass.
        images: What it is shown, (B, C, R, R), Gaussian.
        macs: Of the design at its own size.
        params: Of the design.
        seed: Of what is drawn for further passes.
        batch: Images wished for; `images` are fewer where they had to be larger than wished for.
        pixels: Of the design's own image, for each pixel of these.
    """

    network: nn.Module
    blocks: Sequence[Site]
    images: Tensor
    macs: int
    params: int
    seed: int
    batch: int = 16
    pixels: float = 1.0


def fresh(architecture: Architecture, *, resolution: int = 64, batch: int = 16, seed: int = 0) -> Subject:
    """A design built for small images, as `neutralised`, before Gaussian images.

    Args:
        architecture: The design at its own size.
        resolution: Side of the images wished for, pixels; see `side`.
        batch: Images; fewer where they must be larger than wished for, but 8 at least where so many are asked for.
        seed: Of weights and images.

    Raises:
        DesignError: The design cannot be built.
    """
    cost = plan(architecture).cost
    small = replace(architecture, resolution=side(architecture, resolution))
    network = build(small, classes=CLASSES, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    # As many pixels in all where the design needs larger images.
    count = min(batch, max(LEAST_IMAGES, round(batch * (resolution / small.resolution) ** 2)))
    images = torch.randn(count, small.channels, small.resolution, small.resolution, generator=generator)
    neutralise(network, generator)
    calibrate(network, images)
    blocks = [
        Site(module, placed.before.layout, placed.after.layout) for module, placed in block_modules(network, small)
    ]
    pixels = (architecture.resolution / small.resolution) ** 2
    return Subject(network, blocks, images, cost.macs, cost.params, seed, batch, pixels)


def side(architecture: Architecture, wished: int) -> int:
    """The least multiple of 8 from `wished` at which the design exists and keeps 4 tokens to the end; its own size
    where there is none below it."""
    return smallest_side(architecture, -(-wished // 8) * 8, LEAST_TOKENS)


@torch.no_grad()
def neutralise(network: nn.Module, generator: torch.Generator) -> None:
    """Weights so that no branch is loud or quiet by how it customarily begins.

    Every linear layer and convolution is drawn from N(0, 1 / inputs), biases are 0; layer scales, which often begin
    near 0 and mute their branch, are 1.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            module.weight.normal_(0.0, module.weight[0].numel() ** -0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
    unmute(network)


@torch.no_grad()
def unmute(network: nn.Module) -> None:
    """Layer scales are 1, so that no branch is quiet because its scale begins near 0; the other weights stay."""
    for module in network.modules():
        if isinstance(module, LayerScale):
            module.gamma.fill_(1.0)


@torch.no_grad()
def calibrate(network: nn.Module, images: Tensor) -> None:
    """Sets the statistics of batch norms to those of the images, and the network to evaluation mode."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    hooks = [norm.register_forward_hook(_as_normalised) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over passes, of which there is one
        norm.train()
    try:
        network(images)
    finally:
        for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
            norm.momentum = momentum
            norm.eval()
            hook.remove()


def _as_normalised(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
    """What is kept divides by one less than what the images are normalised with, which on few places would add up."""
    count = inputs[0].numel() // inputs[0].shape[1]
    norm.running_var.mul_((count - 1) / count)
