"""Attention within windows that tile the grid, shifted in every other block where wanted."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.attention import AttentionOptions, heads_and_inner
from gas.patterns.base import Cost, Flow, Part, Pattern, linear_cost, mixed, register
from gas.patterns.relative_bias import FixedBias, RelativeBias


class WindowAttention(nn.Module):
    """Softmax attention in which a token sees its own window; the tokens come and go row by row.

    Shifted windows begin `shift` places further down and right and go round the edges of the grid; a token then sees
    those of its window alone that are its neighbours on the grid as well.

    Args:
        dim: Channels.
        grid: (H, W).
        window: (h, w) of a window; divides the grid.
        shift: Places that the windows are shifted by, down and right.
        heads: Number of heads (K).
        inner: Channels of all heads together.
        qkv_bias: Whether queries, keys and values have a bias.
        position: Whether every offset within a window has a learned bias.
        proj_bias: Whether the last layer has a bias.
    """

    last = "proj"

    def __init__(
        self,
        dim: int,
        grid: tuple[int, int],
        window: tuple[int, int],
        shift: tuple[int, int],
        heads: int,
        inner: int,
        qkv_bias: bool = True,
        position: bool = True,
        proj_bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.tokens = window[0] * window[1]  # T, of a window
        self.whole = tuple(window) == tuple(grid)
        self.position = RelativeBias(heads, window, signed=True) if position else None
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias)
        self.proj = nn.Linear(inner, dim, bias=proj_bias)
        places = torch.arange(grid[0] * grid[1]).view(*grid)
        order = _windows(places.roll((-shift[0], -shift[1]), (0, 1)), window).flatten()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", torch.argsort(order), persistent=False)
        self.register_buffer("mask", _mask(grid, window, shift) if any(shift) else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        batch, bias = x.shape[0], self.bias()
        if not self.whole:
            x = x.index_select(1, self.order)
        x = x.reshape(-1, self.tokens, x.shape[-1])  # (B*windows, T, C)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B*windows, T, 3, K, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B*windows, K, T, D)
        if bias is not None and len(bias) > 1:
            bias = bias.expand(batch, -1, -1, -1, -1).flatten(0, 1)  # (B*windows, 1 or K, T, T)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)  # (B*windows, K, T, D)
        x = self.proj(x.transpose(1, 2).flatten(2)).reshape(batch, -1, self.proj.out_features)  # (B, N, C)
        return x if self.whole else x.index_select(1, self.back)

    def bias(self) -> Tensor | None:
        """(1 or windows, 1 or K, T, T): what is added to the scores; None for nothing."""
        bias = None if self.position is None else self.position()
        if bias is not None and bias.ndim == 3:
            bias = bias[None]  # (1, K, T, T)
        if self.mask is None:
            return bias
        return self.mask if bias is None else bias + self.mask  # (windows, K, T, T)

    def folded(self) -> nn.Module:
        """Bias and mask are added up once."""
        if self.position is not None:
            self.position, self.mask = FixedBias(self.bias()), None
        return self


def _windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(H, W) -> (windows, T)."""
    x = x.unflatten(1, (-1, window[1])).unflatten(0, (-1, window[0]))  # (rows, h, columns, w)
    return x.transpose(1, 2).flatten(2).flatten(0, 1)


def _mask(grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """(windows, 1, T, T): minus infinity for two tokens that met round the edge of the grid, 0 for others."""
    # Once rolled, the first places come last: in the last window along a side they meet others from the far edge.
    row, column = (torch.arange(side) >= side - by for side, by in zip(grid, shift, strict=True))
    regions = _windows(2 * row[:, None] + column[None].int(), window)  # (windows, T)
    apart = regions[:, None, :, None] != regions[:, None, None, :]  # (windows, 1, T, T)
    return torch.zeros(apart.shape).masked_fill(apart, float("-inf"))


class WindowAttentionOptions(AttentionOptions):
    """Options of window_attention: exactly one of `heads` and `head_dim`."""

    window: Annotated[int, Field(gt=0, description="side of a window, tokens; no larger than the grid in any case")] = 7
    shift: Annotated[
        Literal["none", "half", "alternate"],
        Field(description="shift the windows by half their side: never, always, or in every other block of the stage"),
    ] = "none"
    position: Annotated[
        Literal["relative", "none"], Field(description="a learned bias for every offset within a window, or none")
    ] = "relative"
    proj_bias: Annotated[bool, Field(description="the last layer has a bias")] = True


@register("window_attention")
class WindowAttentionPattern(Pattern):
    """Multi-head self-attention within windows of a fixed side, which shift to let neighbouring windows meet.

    A window that is larger than the grid is cut to it, and then not shifted.

    Source: Swin, arXiv 2103.14030, section 3.2. Differs: in a shifted window, tokens that are no neighbours do not see
    one another at all; the public code lowers their scores by 100.
    """

    kind = "token_mixer"
    Options = WindowAttentionOptions

    def reads(self, options: WindowAttentionOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def settle(self, options: WindowAttentionOptions, flow: Flow) -> WindowAttentionOptions:
        """Every other window attention of a stage shifts, beginning with the second."""
        if options.shift != "alternate":
            return options
        return options.model_copy(update={"shift": "half" if flow.unshifted else "none"})

    def after(self, options: WindowAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay; the next block may want to know whether this one shifted."""
        heads_and_inner(options, flow.target)
        for side, window in zip(flow.grid, self._window(options, flow), strict=True):
            if side % window:
                raise DesignError("window", f"got {options.window}; expected a divisor of the grid's side {side}")
        return mixed(flow).but(unshifted=self.settle(options, flow).shift == "none")

    def cost(self, options: WindowAttentionOptions, flow: Flow) -> Cost:
        """Query-key-value and output layers, the two products of attention, the position bias."""
        heads, inner = heads_and_inner(options, flow.target)
        height, width = self._window(options, flow)
        total = linear_cost(flow.tokens, flow.dim, 3 * inner, bias=options.qkv_bias)
        total += linear_cost(flow.tokens, inner, flow.dim, bias=options.proj_bias)
        total += Cost(2 * flow.tokens * height * width * inner)
        if options.position == "relative":
            total += Cost(0, (2 * height - 1) * (2 * width - 1) * heads)
        return total

    def part(self, options: WindowAttentionOptions, flow: Flow) -> Part:
        """A WindowAttention."""
        heads, inner = heads_and_inner(options, flow.target)
        window, shifted = self._window(options, flow), self.settle(options, flow).shift == "half"
        shift = tuple(w // 2 if shifted and side > w else 0 for side, w in zip(flow.grid, window, strict=True))
        args = {"dim": flow.dim, "grid": flow.grid, "window": window, "shift": shift, "heads": heads, "inner": inner}
        position = options.position == "relative"
        biases = {"qkv_bias": options.qkv_bias, "proj_bias": options.proj_bias}
        return Part.of(WindowAttention, **args, **biases, position=position)

    def _window(self, options: WindowAttentionOptions, flow: Flow) -> tuple[int, int]:
        return min(options.window, flow.grid[0]), min(options.window, flow.grid[1])
