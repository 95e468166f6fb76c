"""How many directions the features of a fresh network spread over: a score without training, data or labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.model import Network, block_modules, build, token_rows
from gas.passes import calibrate, unmute
from gas.passes.scatter import components
from gas.plan import plan, smallest_side
from gas.proxies.base import Fidelity, Proxy, check_deadline, register
from gas.proxies.reduce import reduce

SHARE = 0.99
"""Share of the variance that the counted components hold."""


@register("pca_count")
class PcaCount(Proxy):
    """Principal components that hold 99% of the variance of a block's output, summed over the blocks.

    The images are Gaussian noise of the fidelity's resolution (or the next larger one at which the design exists, in
    steps of 8 pixels) and batch size, so `data` is not read; the score is the
    mean over `fidelity.seeds` initialisations, with layer scales of 1 and batch norms calibrated on the images. A
    block's count is at most the smaller of its width and its tokens times the batch size.

    Source: W-PCA, arXiv 2504.15983 (ICLR 2025), which counts the components of the MLPs' hidden states. Differs:
    counted on what the blocks give out, so that it means the same for blocks without an MLP; not multiplied by the
    number of parameters (a cost that stands beside the score here); noise images in place of text.
    """

    default_fidelity = Fidelity(resolution=64, batch=64, seeds=3)

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`pca_count`, and `pca_count_share`: the score as a share of the sum of the blocks' widths."""
        fidelity = self.fidelity
        side = smallest_side(architecture, fidelity.resolution, 1)  # windows do not divide every grid
        small = reduce(architecture, resolution=side, width=fidelity.width)
        size = (fidelity.batch, small.channels, small.resolution, small.resolution)
        total = 0
        for index in range(fidelity.seeds):
            check_deadline(deadline, f"initialisation {index + 1} of {fidelity.seeds}")
            generator = torch.Generator().manual_seed(seed * fidelity.seeds + index)
            network = build(small, classes=2, seed=seed * fidelity.seeds + index)
            images = torch.randn(size, generator=generator)
            unmute(network)
            calibrate(network, images)
            counts = block_counts(network, small, images)
            total += sum(counts)
        score = total / fidelity.seeds
        most = sum(placed.after.dim for placed in plan(small).blocks)
        return {self.name: score, f"{self.name}_share": score / most}


def block_counts(network: Network, architecture: Architecture, images: Tensor) -> list[int]:
    """Component count of every block's output for `images` (B, 3, R, R), in the order of the blocks."""
    with torch.inference_mode(), _watched(network, architecture) as counts:
        network(images)
    return counts


def component_count(features: Tensor, share: float = SHARE) -> int:
    """(S, C) features -> the least number of principal components that hold `share` of the variance.

    0 where the features do not vary at all.
    """
    centred = (features - features.mean(dim=0)).double()
    # The smaller of the two Gram matrices has the same non-zero eigenvalues.
    gram = centred.T @ centred if centred.shape[0] >= centred.shape[1] else centred @ centred.T
    variances = torch.linalg.eigvalsh(gram).clamp_min(0).flip(0)  # descending
    return components(variances, share)


@contextmanager
def _watched(network: Network, architecture: Architecture) -> Iterator[list[int]]:
    """Within it, every block that runs adds its count to the list."""
    counts: list[int] = []
    hooks = []
    try:
        for module, placed in block_modules(network, architecture):

            def count(_: nn.Module, __: tuple, output: Tensor, layout: str = placed.after.layout) -> None:
                counts.append(component_count(token_rows(output, layout)))

            hooks.append(module.register_forward_hook(count))
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
