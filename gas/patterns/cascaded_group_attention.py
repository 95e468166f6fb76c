"""Attention whose heads each see a slice of the channels, one after the other, within windows of a map."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, mixed, register
from gas.patterns.relative_bias import RelativeBias
from gas.patterns.units import Activation, ConvNorm, activation, conv_norm_cost


class CascadedGroupAttention(nn.Module):
    """Head i attends over the i-th slice of the channels, to which the output of head i - 1 has been added.

    Args:
        dim: Channels, dealt out to the heads in equal slices.
        kernels: Side of the depthwise convolution of the queries, head by head.
        key_dim: Channels of a head's queries and keys.
        value_dim: Channels of a head's values; in a cascade those of a slice.
        grid: (H, W) of the map.
        window: Side of the windows; a map that they do not divide is padded with zeros.
        cascade: Whether a head's output is added to the next head's input.
        position_bias: Whether the scores get a learned number per head and distance.
        act: Activation before the last convolution.
    """

    def __init__(
        self,
        dim: int,
        kernels: list[int],
        key_dim: int,
        value_dim: int,
        grid: tuple[int, int],
        window: int,
        cascade: bool,
        position_bias: bool,
        act: str,
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.window = window
        self.cascade = cascade
        self.split = (key_dim, key_dim, value_dim)
        heads = len(kernels)
        self.qkv = nn.ModuleList(ConvNorm(dim // heads, sum(self.split)) for _ in kernels)
        self.local = nn.ModuleList(ConvNorm(key_dim, key_dim, kernel, groups=key_dim) for kernel in kernels)
        self.act = activation(act)
        self.proj = ConvNorm(heads * value_dim, dim)
        self.position = RelativeBias(heads, (window, window)) if position_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.grid == (self.window, self.window):
            return self._attend(x)
        down, across = (-(-side // self.window) for side in self.grid)
        below, right = down * self.window - self.grid[0], across * self.window - self.grid[1]
        if below or right:
            x = F.pad(x, (0, right, 0, below))
        x = x.unflatten(3, (across, self.window)).unflatten(2, (down, self.window))
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (B * windows, C, side, side)
        x = self._attend(x).unflatten(0, (-1, down, across)).permute(0, 3, 1, 4, 2, 5)
        x = x.flatten(4).flatten(2, 3)  # (B, C, H, W), with the padding
        return x[:, :, : self.grid[0], : self.grid[1]] if below or right else x

    def _attend(self, x: Tensor) -> Tensor:
        """(B, C, side, side) -> (B, C, side, side), all windows as a batch."""
        bias = None if self.position is None else self.position()  # (K, N, N)
        given, slices = [], x.chunk(len(self.qkv), dim=1)
        for i, (qkv, local) in enumerate(zip(self.qkv, self.local, strict=True)):
            feed = slices[i] + given[-1] if i and self.cascade else slices[i]
            q, k, v = qkv(feed).split(self.split, dim=1)  # (B, D, side, side)
            q, k, v = local(q).flatten(2).transpose(1, 2), k.flatten(2), v.flatten(2)  # (B, N, D), (B, D, N)
            scale = self.split[0] ** -0.5
            # Not scaled_dot_product_attention: at so few tokens it is slower, and slower again with the channels first.
            scores = torch.bmm(q * scale, k) if bias is None else torch.baddbmm(bias[i], q, k, alpha=scale)
            out = torch.bmm(v, scores.softmax(-1).transpose(1, 2))  # (B, D, N)
            given.append(out.unflatten(2, (self.window, self.window)))  # (B, D, side, side)
        return self.proj(self.act(torch.cat(given, dim=1)))


class CascadedGroupAttentionOptions(Options):
    """Options of cascaded_group_attention."""

    heads: Annotated[int, Field(gt=0, description="number of heads; divides the width")]
    kernels: Annotated[
        tuple[int, ...],
        Field(
            min_length=1,
            description="side of each head's convolution of the queries, tokens (odd); the last serves all heads "
            "beyond, those for more heads than there are do nothing",
        ),
    ] = (7, 5, 3, 3)
    key_dim: Annotated[int, Field(gt=0, description="channels of a head's queries and keys"), Width()] = 16
    ratio: (
        Annotated[
            float,
            Field(gt=0, description="channels of a head's values as a multiple of key_dim; null for the head's slice"),
        ]
        | None
    ) = None
    window: (
        Annotated[int, Field(gt=0, description="side of the windows, tokens; null for one window that holds the map")]
        | None
    ) = 7
    cascade: Annotated[bool, Field(description="a head's output is added to the next head's input")] = True
    position_bias: Annotated[bool, Field(description="the scores get a learned number per head and distance")] = True
    act: Annotated[Activation, Field(description="activation before the last convolution")] = "relu"


@register("cascaded_group_attention")
class CascadedGroupAttentionPattern(Pattern):
    """Each head attends over its own slice of the channels, and its output is added to the slice of the next.

    A window is at most as wide as the map is; a map that windows do not divide is padded with zeros, which are
    attended to like tokens.

    Source: EfficientViT, arXiv 2305.07027, section 3.2. Windows and the bias by distance are in its public code
    (microsoft/Cream), not in the paper. Differs: the norm of the last convolution begins with weights of 1, the code's
    with 0.
    """

    kind = "token_mixer"
    Options = CascadedGroupAttentionOptions

    def after(self, options: CascadedGroupAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        if flow.dim % options.heads:
            raise DesignError("heads", f"got {options.heads}; expected a divisor of the width {flow.dim}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in options.kernels):
            raise DesignError("kernels", f"got {list(options.kernels)}; expected odd numbers")
        value_dim, share = _value_dim(options, flow), flow.dim // options.heads
        if value_dim < 1:
            raise DesignError("ratio", f"got {options.ratio}; expected one that leaves at least 1 channel of values")
        if options.cascade and options.heads > 1 and value_dim != share:
            text = f"got {options.ratio}, {value_dim} channels; expected the {share} that a cascade is to be added to"
            raise DesignError("ratio", text)
        return mixed(flow)

    def cost(self, options: CascadedGroupAttentionOptions, flow: Flow) -> Cost:
        """Per head, its convolutions and the two products of attention; then the last convolution."""
        side, kernels, value_dim = _window(options, flow), _kernels(options), _value_dim(options, flow)
        windows = -(-flow.grid[0] // side) * -(-flow.grid[1] // side)
        each, total = (windows * side, side), Cost()  # all windows below each other
        for kernel in kernels:
            total += conv_norm_cost(each, flow.dim // options.heads, 2 * options.key_dim + value_dim)
            total += conv_norm_cost(each, options.key_dim, options.key_dim, kernel, groups=options.key_dim)
            total += Cost(windows * side**4 * (options.key_dim + value_dim), side**2 * options.position_bias)
        return total + conv_norm_cost(each, options.heads * value_dim, flow.dim)

    def part(self, options: CascadedGroupAttentionOptions, flow: Flow) -> Part:
        """A CascadedGroupAttention."""
        return Part.of(
            CascadedGroupAttention,
            dim=flow.dim,
            kernels=_kernels(options),
            key_dim=options.key_dim,
            value_dim=_value_dim(options, flow),
            grid=flow.grid,
            window=_window(options, flow),
            cascade=options.cascade,
            position_bias=options.position_bias,
            act=options.act,
        )


def _kernels(options: CascadedGroupAttentionOptions) -> list[int]:
    """One per head."""
    given = options.kernels[: options.heads]
    return [*given, *[given[-1]] * (options.heads - len(given))]


def _value_dim(options: CascadedGroupAttentionOptions, flow: Flow) -> int:
    return flow.dim // options.heads if options.ratio is None else int(options.ratio * options.key_dim)


def _window(options: CascadedGroupAttentionOptions, flow: Flow) -> int:
    """The side in force; a map that is not square has one window of its longer side where that is null."""
    return max(flow.grid) if options.window is None else min(options.window, *flow.grid)
