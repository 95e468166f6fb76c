"""Small modules that many patterns are made of, and how each of them folds for inference.

No pattern is registered here. A module that has a cheaper equal for inference says so with a method `folded()`, which
returns that equal (`gas.fuse` calls it on every module, the innermost first, so what a module holds is folded
already); all others stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gas.errors import DesignError
from gas.patterns.base import Cost, Part

Activation = Literal["relu", "relu6", "gelu", "silu", "hardswish", "none"]
ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "none": nn.Identity,
}
NormKind = Literal["layer", "batch", "group", "none"]
NORM_EPS = {"layer": 1e-6, "batch": 1e-5, "group": 1e-5}


def activation(name: str) -> nn.Module:
    """The activation of a name in ACTIVATIONS."""
    return ACTIVATIONS[name]()


class DropPath(nn.Module):
    """Stochastic depth: in training, a residual branch is left out for some of the images.

    Source: Huang et al., arXiv 1603.09382.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape with the batch first."""
        if not self.training or self.rate == 0.0:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep / (1.0 - self.rate)


class LayerScale(nn.Module):
    """Multiplies each channel by a learned number.

    Args:
        dim: Channels.
        init: What the numbers begin with.
        spatial: True for maps (B, C, H, W), False where the channels come last.

    Source: CaiT, arXiv 2103.17239, section 2.1.
    """

    def __init__(self, dim: int, init: float, spatial: bool = False) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init))
        self.spatial = spatial

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), or (B, ..., C)."""
        return x * (self.gamma.view(-1, 1, 1) if self.spatial else self.gamma)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """Convolution, batch norm, activation: one convolution and the activation once folded.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        kernel: Side of the convolution.
        stride: Its step. An odd kernel is padded by half its side, so a grid of side s becomes ceil(s / stride); an
            even one is not.
        groups: Its groups; `dim` for a depthwise one.
        act: Name of the activation.
        bias: Whether the convolution has a bias beside the norm's.
        eps: Of the norm.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: str = "none",
        bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if kernel % 2 else 0
        self.conv = nn.Conv2d(dim, dim_out, kernel, stride, padding, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(dim_out, eps=eps)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H/stride, W/stride)."""
        return self.act(self.norm(self.conv(x)))

    def folded(self) -> nn.Module:
        """The convolution with the norm in its weights."""
        conv = fuse_conv_bn_eval(self.conv, self.norm)
        return conv if isinstance(self.act, nn.Identity) else nn.Sequential(conv, self.act)


class Residual(nn.Module):
    """x + scale(branch(x)).

    Args:
        branch: Keeps the shape.
        scale: LayerScale; None for none.
    """

    def __init__(self, branch: nn.Module, scale: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.scale = nn.Identity() if scale is None else scale
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that the branch takes."""
        return x + self.drop_path(self.scale(self.branch(x)))

    def folded(self) -> nn.Module:
        """One depthwise convolution where the branch is one."""
        return with_identity(self.branch, self.scale) or self


def with_identity(branch: nn.Module, scale: nn.Module) -> nn.Conv2d | None:
    """x + scale(branch(x)) as one convolution where the branch is a depthwise convolution that keeps the grid."""
    if not isinstance(branch, nn.Conv2d) or not isinstance(scale, nn.Identity | LayerScale):
        return None
    side = branch.kernel_size[0]
    depthwise = branch.groups == branch.in_channels == branch.out_channels
    if not depthwise or branch.stride != (1, 1) or side % 2 == 0 or branch.padding != (side // 2, side // 2):
        return None
    weight, bias = branch.weight.detach().clone(), branch.bias
    bias = torch.zeros_like(weight[:, 0, 0, 0]) if bias is None else bias.detach().clone()
    if isinstance(scale, LayerScale):
        weight, bias = weight * scale.gamma.detach().view(-1, 1, 1, 1), bias * scale.gamma.detach()
    weight[:, 0, side // 2, side // 2] += 1.0
    dim = branch.in_channels
    conv = nn.Conv2d(dim, dim, side, padding=side // 2, groups=dim, device="meta")  # which draws no initial weights
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv


class SqueezeExcite(nn.Module):
    """Weighs each channel of a map by a gate read off all channels' means.

    Args:
        dim: Channels.
        hidden: Channels between the two 1 x 1 convolutions, which have biases.
        act: Activation between them.
        hard: A piecewise linear sigmoid (MobileNetV3) in place of the smooth one.

    Source: Hu et al., arXiv 1709.01507, section 3.
    """

    def __init__(self, dim: int, hidden: int, act: str = "relu", hard: bool = False) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(dim, hidden, 1)
        self.act = activation(act)
        self.expand = nn.Conv2d(hidden, dim, 1)
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gate = self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True))))  # (B, C, 1, 1)
        return x * (F.hardsigmoid(gate) if self.hard else gate.sigmoid())


def squeeze_excite_cost(dim: int, hidden: int) -> Cost:
    """Cost of a SqueezeExcite: two biased layers on one vector."""
    return Cost(2 * dim * hidden, 2 * dim * hidden + dim + hidden)


def conv_cost(
    grid: tuple[int, int], dim: int, dim_out: int, kernel: int = 1, *, groups: int = 1, bias: bool = True
) -> Cost:
    """A convolution that gives out a map of `grid`."""
    weights = dim // groups * kernel**2 * dim_out
    return Cost(grid[0] * grid[1] * weights, weights + dim_out * bias)


def conv_norm_cost(
    grid: tuple[int, int], dim: int, dim_out: int, kernel: int = 1, *, groups: int = 1, bias: bool = False
) -> Cost:
    """A ConvNorm that gives out a map of `grid`: its norm has 2 params per channel and no macs."""
    return conv_cost(grid, dim, dim_out, kernel, groups=groups, bias=bias) + Cost(0, 2 * dim_out)


def strided(grid: tuple[int, int], stride: int) -> tuple[int, int]:
    """The grid behind a ConvNorm with that stride: sides divided, rounded up."""
    return -(-grid[0] // stride), -(-grid[1] // stride)


def stem_grid(grid: tuple[int, int], strides: Sequence[int], *, exact: bool) -> tuple[int, int]:
    """The grid behind a stem's convolutions; DesignError where `exact` and a stride does not divide what it reads."""
    if any(stride < 1 for stride in strides):
        raise DesignError("strides", f"got {list(strides)}; expected whole numbers of at least 1")
    after = grid
    for stride in strides:
        if exact and any(side % stride for side in after):
            text = f"got {list(strides)}; expected steps that divide the resolution {grid[0]}"
            raise DesignError("strides", text)
        after = strided(after, stride)
    return after


def norm_part(kind: str, dim: int, layout: str, eps: float | None = None) -> Part | None:
    """The norm to build over the channels of features in a layout; None for `none`.

    Args:
        kind: `layer`, `batch`, `group` (one group: over all channels and places of a map), or `none`.
        dim: Channels.
        layout: `map`, or one with the channels last, which takes layer norm alone.
        eps: Added to the variance; None for the kind's usual one.
    """
    if kind == "none":
        return None
    eps = NORM_EPS[kind] if eps is None else eps
    if layout != "map":
        return Part.of(nn.LayerNorm, normalized_shape=dim, eps=eps)
    if kind == "layer":
        return Part.of(LayerNorm2d, normalized_shape=dim, eps=eps)
    if kind == "batch":
        return Part.of(nn.BatchNorm2d, num_features=dim, eps=eps)
    return Part.of(nn.GroupNorm, num_groups=1, num_channels=dim, eps=eps)
