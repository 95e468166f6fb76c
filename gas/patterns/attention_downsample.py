"""A stage is entered by attention with fewer queries than keys, beside a strided convolution."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, refuse_even, register
from gas.patterns.local_global_attention import products, scaled, side_by_side, value_width, weighted
from gas.patterns.relative_bias import RelativeBias
from gas.patterns.units import Activation, ConvNorm, activation, conv_cost, conv_norm_cost, strided


class AttentionDownsample(nn.Module):
    """conv(x) + attention(x), both with half as many places along a side.

    Queries come from every other place, to which a depthwise convolution has added what is near.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        grid: (H, W) before.
        heads: Number of heads (K).
        key_dim: Channels of a query or key, per head.
        value_dim: Channels of a value, per head (D).
        kernel: Side of the strided and depthwise convolutions.
        act: Activation before the last convolution.
        bias: Whether the convolutions have biases.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        grid: tuple[int, int],
        heads: int,
        key_dim: int,
        value_dim: int,
        kernel: int,
        act: str,
        bias: bool,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = key_dim**-0.5
        self.widths = [heads * key_dim, heads * value_dim]
        self.conv = ConvNorm(dim, dim_out, kernel, 2, bias=bias)
        self.position = RelativeBias(heads, grid, stride=2)
        self.near = nn.Conv2d(dim, dim, kernel, 2, kernel // 2, groups=dim, bias=bias)
        self.every_other = True
        self.q = ConvNorm(dim, self.widths[0], bias=bias)
        self.k = ConvNorm(dim, self.widths[0], bias=bias)
        self.v = ConvNorm(dim, self.widths[1], bias=bias)
        self.kv = None  # both in one, once folded
        self.local = ConvNorm(self.widths[1], self.widths[1], kernel, 2, groups=self.widths[1], bias=bias)
        self.act = activation(act)
        self.proj = ConvNorm(self.widths[1], dim_out, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H/2, W/2), sides rounded up."""
        y = self.conv(x)
        bias = self.position()  # (K, N/4, N)
        near = self.near(x)  # (B, dim, H/2, W/2)
        q = self.q(near + x[:, :, ::2, ::2] if self.every_other else near)
        k, v = (self.k(x), self.v(x)) if self.kv is None else self.kv(x).split(self.widths, dim=1)
        scores = products(q, k, self.heads)  # (B, K, N/4, N)
        scores = (scores * self.scale if self.kv is None else scores) + bias
        z = weighted(scores.softmax(dim=-1), v).unflatten(2, y.shape[2:]) + self.local(v)  # (B, K*D, H/2, W/2)
        return y + self.proj(self.act(z))

    def folded(self) -> nn.Module:
        """One convolution to keys and values; every other place is what a depthwise convolution's middle reads."""
        self.q = scaled(self.q, self.scale)
        self.kv = side_by_side([self.k, self.v])
        self.k = self.v = None
        middle = self.near.kernel_size[0] // 2
        weight = self.near.weight.detach().clone()
        weight[:, :, middle, middle] += 1.0
        self.near.weight, self.every_other = nn.Parameter(weight), False
        return self


class AttentionDownsampleOptions(Options):
    """Options of attention_downsample."""

    heads: Annotated[int, Field(gt=0, description="number of heads")] = 8
    key_dim: Annotated[int, Field(gt=0, description="channels of a query or key, per head"), Width()] = 16
    value_ratio: Annotated[float, Field(gt=0, le=16, description="channels of a value, as a multiple of key_dim")] = 4.0
    kernel: Annotated[int, Field(gt=0, description="side of the strided convolutions, tokens (odd)")] = 3
    act: Annotated[Activation, Field(description="activation before the attention's last convolution")] = "gelu"
    bias: Annotated[bool, Field(description="the convolutions have biases beside the norms'")] = True


@register("attention_downsample")
class AttentionDownsamplePattern(Pattern):
    """Attention from every other place to all, added to a strided convolution; a grid of side s becomes ceil(s / 2).

    Source: EfficientFormerV2, arXiv 2212.08059, "Dual-Path Attention Downsampling" in
    section 3.
    """

    kind = "entry"
    Options = AttentionDownsampleOptions

    def after(self, options: AttentionDownsampleOptions, flow: Flow) -> Flow:
        """New width, half the grid."""
        value_width(options.key_dim, options.value_ratio)
        refuse_even(options.kernel)
        return flow.but(dim=flow.target, grid=strided(flow.grid, 2), scale=flow.scale * 2)

    def cost(self, options: AttentionDownsampleOptions, flow: Flow) -> Cost:
        """All convolutions, the two products of attention, the position bias."""
        dim, kernel, bias, grid = flow.dim, options.kernel, options.bias, strided(flow.grid, 2)
        keys = options.heads * options.key_dim
        values = options.heads * value_width(options.key_dim, options.value_ratio)
        places, queries = flow.grid[0] * flow.grid[1], grid[0] * grid[1]
        total = Cost(queries * places * (keys + values), options.heads * places)
        total += conv_norm_cost(grid, dim, flow.target, kernel, bias=bias)
        total += conv_cost(grid, dim, dim, kernel, groups=dim, bias=bias) + conv_norm_cost(grid, dim, keys, bias=bias)
        total += conv_norm_cost(flow.grid, dim, keys, bias=bias) + conv_norm_cost(flow.grid, dim, values, bias=bias)
        total += conv_norm_cost(grid, values, values, kernel, groups=values, bias=bias)
        return total + conv_norm_cost(grid, values, flow.target, bias=bias)

    def part(self, options: AttentionDownsampleOptions, flow: Flow) -> Part:
        """An AttentionDownsample."""
        value_dim = value_width(options.key_dim, options.value_ratio)
        args = {"dim": flow.dim, "dim_out": flow.target, "grid": flow.grid, "value_dim": value_dim}
        return Part.of(AttentionDownsample, **args, **options.model_dump(exclude={"value_ratio"}))
