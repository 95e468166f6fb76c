"""Attention on a map whose values are also mixed by a depthwise convolution, and whose heads talk to one another."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, mixed, refuse_even, register
from gas.patterns.relative_bias import FixedBias, RelativeBias
from gas.patterns.units import Activation, ConvNorm, activation, conv_cost, conv_norm_cost


class LocalGlobalAttention(nn.Module):
    """Softmax attention over the places of a map, and a depthwise convolution of the values beside it.

    Args:
        dim: Channels.
        grid: (H, W).
        heads: Number of heads (K).
        key_dim: Channels of a query or key, per head.
        value_dim: Channels of a value, per head (D).
        stride: The map is made that much smaller along each side before, and larger again behind.
        kernel: Side of the depthwise convolution of the values.
        talking: Heads are mixed linearly, before the softmax and behind it.
        act: Activation before the last convolution.
        bias: Whether the convolutions have biases.
    """

    last = "proj"

    def __init__(
        self,
        dim: int,
        grid: tuple[int, int],
        heads: int,
        key_dim: int,
        value_dim: int,
        stride: int = 1,
        kernel: int = 3,
        talking: bool = True,
        act: str = "gelu",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.stride = stride
        self.scale = key_dim**-0.5
        self.widths = [heads * key_dim, heads * key_dim, heads * value_dim]
        self.position = RelativeBias(heads, (grid[0] // stride, grid[1] // stride))
        self.reduce = ConvNorm(dim, dim, 3, stride, groups=dim, bias=bias) if stride > 1 else nn.Identity()
        self.q, self.k, self.v = (ConvNorm(dim, width, bias=bias) for width in self.widths)
        self.qkv = None  # all three in one, once folded
        self.local = ConvNorm(self.widths[2], self.widths[2], kernel, groups=self.widths[2], bias=bias)
        self.talk1 = nn.Conv2d(heads, heads, 1) if talking else None
        self.talk2 = nn.Conv2d(heads, heads, 1) if talking else nn.Identity()
        self.act = activation(act)
        self.proj = ConvNorm(self.widths[2], dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        bias = self.position()  # (K, N, N); N places once made smaller
        x = self.reduce(x)
        q, k, v = (self.q(x), self.k(x), self.v(x)) if self.qkv is None else self.qkv(x).split(self.widths, dim=1)
        near = self.local(v)  # (B, K*D, H, W)
        scores = products(q, k, self.heads)  # (B, K, N, N)
        if self.qkv is None:
            scores = scores * self.scale + bias
            scores = scores if self.talk1 is None else self.talk1(scores)
        else:
            scores = (scores if self.talk1 is None else self.talk1(scores)) + bias
        x = weighted(self.talk2(scores.softmax(dim=-1)), v).unflatten(2, v.shape[2:]) + near
        if self.stride > 1:
            x = F.interpolate(x, scale_factor=float(self.stride), mode="bilinear")  # (B, K*D, H, W)
        return self.proj(self.act(x))

    def folded(self) -> nn.Module:
        """One convolution to queries, keys and values; the bias of the scores is added behind the heads' mixing."""
        self.q = scaled(self.q, self.scale)
        self.qkv = side_by_side([self.q, self.k, self.v])
        self.q = self.k = self.v = None
        if self.talk1 is not None:
            added = self.talk1(self.position()[None])[0].detach()
            self.position, self.talk1.bias = FixedBias(added), None
        return self


def products(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """(B, K*D, ...), (B, K*D, ...) -> (B, K, queries, keys): every query with every key of its head."""
    q, k = (x.unflatten(1, (heads, -1)).flatten(3) for x in (q, k))  # (B, K, D, N)
    return q.transpose(2, 3) @ k


def weighted(weights: Tensor, v: Tensor) -> Tensor:
    """(B, K, queries, keys), (B, K*D, ...) -> (B, K*D, queries): per query, the values in their shares."""
    v = v.unflatten(1, (weights.shape[1], -1)).flatten(3)  # (B, K, D, N)
    return (v @ weights.transpose(2, 3)).flatten(1, 2)


def scaled(conv: nn.Conv2d, by: float) -> nn.Conv2d:
    """The convolution with all that it gives out multiplied by a number."""
    conv.weight = nn.Parameter(conv.weight.detach() * by)
    conv.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach() * by)
    return conv


def side_by_side(convs: list[nn.Conv2d]) -> nn.Conv2d:
    """Biased 1 x 1 convolutions of the same features as one, which gives out their channels in turn."""
    width = sum(conv.out_channels for conv in convs)
    joined = nn.Conv2d(convs[0].in_channels, width, 1, device="meta")  # which draws no weights
    joined.weight = nn.Parameter(torch.cat([conv.weight.detach() for conv in convs]))
    joined.bias = nn.Parameter(torch.cat([conv.bias.detach() for conv in convs]))
    return joined


class LocalGlobalAttentionOptions(Options):
    """Options of local_global_attention."""

    heads: Annotated[int, Field(gt=0, description="number of heads")] = 8
    key_dim: Annotated[int, Field(gt=0, description="channels of a query or key, per head"), Width()] = 32
    value_ratio: Annotated[float, Field(gt=0, le=16, description="channels of a value, as a multiple of key_dim")] = 4.0
    stride: Annotated[int, Field(gt=0, description="the map is that much smaller, along a side, while attending")] = 1
    kernel: Annotated[int, Field(gt=0, description="side of the values' depthwise convolution, tokens (odd)")] = 3
    talking_heads: Annotated[bool, Field(description="heads are mixed, before the softmax and behind it")] = True
    act: Annotated[Activation, Field(description="activation before the last convolution")] = "gelu"
    bias: Annotated[bool, Field(description="the convolutions have biases beside the norms'")] = True


@register("local_global_attention")
class LocalGlobalAttentionPattern(Pattern):
    """Attention with wide values, to which a depthwise convolution adds what is near; on a smaller map where wanted.

    Scores have a learned bias by distance along the rows and columns.

    Source: EfficientFormerV2, arXiv 2212.08059, "MHSA Improvements" and "Attention on Higher Resolution" in section 3;
    talking heads: arXiv 2003.02436.
    """

    kind = "token_mixer"
    Options = LocalGlobalAttentionOptions

    def after(self, options: LocalGlobalAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        value_width(options.key_dim, options.value_ratio)
        refuse_even(options.kernel)
        for side in flow.grid:
            if side % options.stride:
                raise DesignError("stride", f"got {options.stride}; expected a divisor of the grid's side {side}")
        return mixed(flow)

    def cost(self, options: LocalGlobalAttentionOptions, flow: Flow) -> Cost:
        """All convolutions, the two products of attention, the mixing of heads, the position bias."""
        heads, bias, dim = options.heads, options.bias, flow.dim
        keys, values = heads * options.key_dim, heads * value_width(options.key_dim, options.value_ratio)
        grid = (flow.grid[0] // options.stride, flow.grid[1] // options.stride)
        places = grid[0] * grid[1]
        total = Cost(places**2 * (keys + values), heads * places)
        if options.stride > 1:
            total += conv_norm_cost(grid, dim, dim, 3, groups=dim, bias=bias)
        total += conv_norm_cost(grid, dim, keys, bias=bias) * 2 + conv_norm_cost(grid, dim, values, bias=bias)
        total += conv_norm_cost(grid, values, values, options.kernel, groups=values, bias=bias)
        if options.talking_heads:
            total += conv_cost((places, places), heads, heads) * 2
        return total + conv_norm_cost(flow.grid, values, dim, bias=bias)

    def part(self, options: LocalGlobalAttentionOptions, flow: Flow) -> Part:
        """A LocalGlobalAttention."""
        value_dim = value_width(options.key_dim, options.value_ratio)
        args = {"dim": flow.dim, "grid": flow.grid, "value_dim": value_dim, "talking": options.talking_heads}
        rest = options.model_dump(exclude={"value_ratio", "talking_heads"})
        return Part.of(LocalGlobalAttention, **args, **rest)


def value_width(key_dim: int, ratio: float) -> int:
    """Channels of a value, per head."""
    width = int(key_dim * ratio)
    if width < 1:
        raise DesignError("value_ratio", f"got {ratio}; expected one that leaves a value at least 1 channel")
    return width
