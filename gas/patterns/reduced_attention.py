"""Attention of all tokens to keys and values from a smaller grid."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gas.errors import DesignError
from gas.patterns.attention import AttentionOptions, heads_and_inner
from gas.patterns.base import Cost, Flow, Part, Pattern, linear_cost, mixed, register
from gas.patterns.units import conv_norm_cost


class Reduction(nn.Module):
    """Depthwise convolution as wide as its step, and a batch norm: one convolution once folded.

    Args:
        dim: Channels.
        grid: (H, W) of the tokens read.
        stride: Step, tokens; divides both.
    """

    def __init__(self, dim: int, grid: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.conv = nn.Conv2d(dim, dim, stride, stride, groups=dim)
        self.norm = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H*W, C) -> (B, H*W / stride**2, C)."""
        x = x.transpose(1, 2).unflatten(2, self.grid)  # (B, C, H, W)
        return self.norm(self.conv(x)).flatten(2).transpose(1, 2)

    def folded(self) -> nn.Module:
        """The norm goes into the convolution."""
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()
        return self


class ReducedAttention(nn.Module):
    """Softmax attention; keys and values (M of them) are read off a reduced map.

    Args:
        dim: Channels.
        heads: Number of heads (K).
        inner: Channels of all heads together.
        qkv_bias: Whether queries, keys and values have a bias.
        reduction: Reduces the tokens; None for none.
        shape: (N, M) of a learned bias for each token and key; None for no such bias.
    """

    last = "proj"
    shared = "bias"

    def __init__(
        self,
        dim: int,
        heads: int,
        inner: int,
        qkv_bias: bool = True,
        reduction: nn.Module | None = None,
        shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, inner, bias=qkv_bias)
        self.reduction = nn.Identity() if reduction is None else reduction
        self.kv = nn.Linear(dim, 2 * inner, bias=qkv_bias)
        self.bias = None if shape is None else nn.Parameter(torch.empty(1, heads, *shape))
        self.proj = nn.Linear(inner, dim)
        if self.bias is not None:
            nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, K, N, D)
        k, v = self.kv(self.reduction(x)).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)  # (B, K, N, D)
        return self.proj(x.transpose(1, 2).flatten(2))


class ReducedAttentionOptions(AttentionOptions):
    """Options of reduced_attention: exactly one of `heads` and `head_dim`."""

    stride: Annotated[
        int, Field(gt=0, description="keys and values come from a grid with sides smaller by this; divides them")
    ] = 1
    position: Annotated[
        Literal["dense", "none"],
        Field(description="a learned bias for every token and key, which binds the block to its grid; or none"),
    ] = "dense"


@register("reduced_attention")
class ReducedAttentionPattern(Pattern):
    """Attention in which a depthwise convolution with a step makes the keys and values fewer.

    Source: the lightweight attention of CMT, arXiv 2107.06263, section 3.2, and its public code, which has a batch norm
    behind the convolution. Differs: each block has a bias of its own; the public code has one for each stage, as
    `shared_position` has it.
    """

    kind = "token_mixer"
    Options = ReducedAttentionOptions

    def reads(self, options: ReducedAttentionOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def after(self, options: ReducedAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        heads_and_inner(options, flow.target)
        for side in flow.grid:
            if side % options.stride:
                raise DesignError("stride", f"got {options.stride}; expected a divisor of the grid's side {side}")
        return mixed(flow)

    def cost(self, options: ReducedAttentionOptions, flow: Flow) -> Cost:
        """Reduction, query, key-value and output layers, the two products of attention, the bias."""
        _, inner = heads_and_inner(options, flow.dim)
        grid, queries, keys = self._sizes(options, flow)
        total = linear_cost(queries, flow.dim, inner, bias=options.qkv_bias) + linear_cost(queries, inner, flow.dim)
        total += linear_cost(keys, flow.dim, 2 * inner, bias=options.qkv_bias) + Cost(2 * queries * keys * inner)
        if options.stride > 1:
            total += conv_norm_cost(grid, flow.dim, flow.dim, options.stride, groups=flow.dim, bias=True)
        return total + Cost(0, self.shared_params(options, flow))

    def shared_params(self, options: ReducedAttentionOptions, flow: Flow) -> int:
        """The bias."""
        _, queries, keys = self._sizes(options, flow)
        return heads_and_inner(options, flow.dim)[0] * queries * keys if options.position == "dense" else 0

    def part(self, options: ReducedAttentionOptions, flow: Flow) -> Part:
        """A ReducedAttention."""
        heads, inner = heads_and_inner(options, flow.dim)
        _, queries, keys = self._sizes(options, flow)
        args = {"dim": flow.dim, "heads": heads, "inner": inner, "qkv_bias": options.qkv_bias}
        if options.stride > 1:
            args["reduction"] = Part.of(Reduction, dim=flow.dim, grid=flow.grid, stride=options.stride)
        if options.position == "dense":
            args["shape"] = (queries, keys)
        return Part.of(ReducedAttention, **args)

    def _sizes(self, options: ReducedAttentionOptions, flow: Flow) -> tuple[tuple[int, int], int, int]:
        """The reduced grid, and how many tokens and keys there are."""
        grid = flow.grid[0] // options.stride, flow.grid[1] // options.stride
        return grid, flow.grid[0] * flow.grid[1], grid[0] * grid[1]
