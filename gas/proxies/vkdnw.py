"""How evenly an untrained network's output depends on its layers: the spectrum of a small Fisher matrix.

Shapes: B images, K classes, L layers, S rows (draws for all images).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.passes import Passes
from gas.passes.scatter import entropy
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree

LAYERS = 128  # at most
ROWS = 96  # at least
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MIXING = nn.Linear | nn.Conv1d | nn.Conv2d


@register("vkdnw")
class Vkdnw(TrainingFree):
    """Entropy of the deciles of the eigenvalues of the Fisher matrix of one weight per layer, at most ln 9.

    The weight is the one between the first channels, at the middle of the kernel, of the first 128 linear layers and
    convolutions that see the images. High where all layers matter alike; it hardly goes with size.

    Source: VKDNW, arXiv 2502.04975 (CVPR 2025), and its public code. Differs: that takes a corner of the kernel, which
    on small maps may see nothing but padding, and weights of norms and biases too; the Fisher matrix is estimated from
    draws of the output's deviation, as many as make 96 rows with the images, in place of all classes; classes are 16.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`vkdnw`; `vkdnw_layers`, how many layers have weights; and `vkdnw_sum`, the paper's score for one network,
        which is the sum of the two."""
        images = _shown(passes)
        found = factor(passes.subject.network, images, -(-ROWS // len(images)), passes.generator(13), passes.check)
        score, layers = spread(found), float(len(passes.weights))
        return {self.name: score, f"{self.name}_layers": layers, f"{self.name}_sum": layers + score}


@dataclass(eq=False)
class _Call:
    """One run of a layer: column in the factor, how the watched weight enters its first channel, its first channel."""

    column: int
    tap: Tensor
    output: Tensor
    channel: int

    def slopes(self, gradient: Tensor, images: int) -> Tensor:
        """(B,) derivatives by the weight, from the gradient of the output."""
        return (gradient.select(self.channel, 0) * self.tap).reshape(images, -1).sum(dim=1)


def _shown(passes: Passes) -> Tensor:
    """The images, or as many as wished for where they are small: on one thread, torch's fast convolutions begin at 16
    images, and what memory small ones take is little."""
    subject = passes.subject
    if subject.pixels <= 4:
        return subject.images
    return torch.randn(subject.batch, *subject.images.shape[1:], generator=passes.generator(14))


def factor(
    network: nn.Module, images: Tensor, draws: int, generator: torch.Generator, check: Callable[[str], None]
) -> Tensor:
    """(S, L) J with E[J^T J] the Fisher matrix of the class probabilities, per image, float64; S is draws x B.

    Raises:
        ValueError: No layer sees the images.
    """
    with _calls(network, len(images)) as calls, torch.enable_grad():
        scores = network(images.clone().requires_grad_())  # (B, K)
    if not calls:
        raise ValueError("no linear layer or convolution sees the images")
    chances = scores.detach().softmax(dim=1)
    found = torch.zeros(draws, len(images), calls[-1].column + 1, dtype=torch.float64)
    for index in range(draws):
        check(f"draw {index + 1} of {draws}")
        signs = torch.randint(0, 2, chances.shape, generator=generator) * 2.0 - 1.0
        # E[z z^T] = diag(p) - p p^T, the covariance of a class drawn with chances p.
        weighed = chances.sqrt() * signs
        z = weighed - chances * weighed.sum(dim=1, keepdim=True)
        back = torch.autograd.grad(scores, [call.output for call in calls], z, retain_graph=True, allow_unused=True)
        for call, gradient in zip(calls, back, strict=True):
            if gradient is not None:
                found[index, :, call.column] += call.slopes(gradient, len(images))
    return found.flatten(0, 1) / (draws * len(images)) ** 0.5


def spread(found: Tensor) -> float:
    """Entropy of the shares of the deciles of the eigenvalues of J^T J, nats.

    Args:
        found: J, (S, L).

    Raises:
        ValueError: All of the deciles are 0.
    """
    values = torch.linalg.svdvals(found).square()
    values = F.pad(values, (0, found.shape[1] - len(values)))  # (L,)
    deciles = torch.quantile(values, torch.tensor(DECILES, dtype=values.dtype))
    if not deciles.isfinite().all() or deciles.sum() <= 0:
        raise ValueError(f"got deciles of {deciles.tolist()}; expected finite ones, not all 0")
    return entropy(deciles)


@contextmanager
def _calls(network: nn.Module, images: int) -> Iterator[list[_Call]]:
    """Within it, the runs of the first LAYERS layers that see the images are entered in the list."""
    calls: list[_Call] = []
    columns: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
        if not output.requires_grad or len(output) % images or (layer not in columns and len(columns) == LAYERS):
            return
        column = columns.setdefault(layer, len(columns))
        channel = -1 if isinstance(layer, nn.Linear) else 1
        calls.append(_Call(column, tap(layer, inputs[0].detach()), output, channel))

    layers = [module for module in network.modules() if isinstance(module, MIXING)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    frozen = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        for parameter in frozen:  # so that what requires a gradient is what sees the images
            parameter.requires_grad_(False)
        yield calls
    finally:
        for parameter in frozen:
            parameter.requires_grad_()
        for hook in hooks:
            hook.remove()


def tap(layer: nn.Module, x: Tensor) -> Tensor:
    """What the watched weight is multiplied by, for each value of the layer's first channel; x as it comes in."""
    if isinstance(layer, nn.Linear):
        return x[..., 0]
    kernel = x.new_zeros(1, 1, *layer.kernel_size)
    kernel[(0, 0, *(side // 2 for side in layer.kernel_size))] = 1.0
    convolve = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv1d
    return convolve(x[:, :1], kernel, None, layer.stride, layer.padding, layer.dilation)[:, 0]
