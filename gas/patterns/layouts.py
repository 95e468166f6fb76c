"""Conversions between layouts: pure permutations, no parameters, no multiply-adds.

Unrolled order (Hiera, arXiv 2306.00989, section 3 and its public code): the index of a token is
(p1, p2, ..., pL, unit row, unit column), where p1 is its place in its 2 x 2 group, p2 the place of that group in the
2 x 2 group of groups, and so on. So a 2 x 2 pooling is a maximum over the leading quarter index, what is left is
unrolled again with one group fewer, and a mask unit of side 2^j is the leading 4^j of the index: nothing moves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Flow, Part, Pattern, refuse_class_token


class ToTokens(nn.Module):
    """(B, C, H, W) map -> (B, H*W, C) tokens, row by row."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, C)."""
        return x.flatten(2).transpose(1, 2)


class ToMap(nn.Module):
    """(B, N, C) tokens -> (B, C, H, W) map.

    Args:
        grid: (H, W).
        extra: Class tokens before the others, which a map has no place for.
    """

    def __init__(self, grid: tuple[int, int], extra: int = 0) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, C, H, W)."""
        return x[:, self.extra :].transpose(1, 2).unflatten(2, self.grid)


class Unroll(nn.Module):
    """(B, N, C) tokens, row by row -> (B, N, C) in unrolled order with `groups` nested 2 x 2 groups."""

    def __init__(self, grid: tuple[int, int], groups: int) -> None:
        super().__init__()
        index = torch.arange(grid[0] * grid[1]).view(1, *grid)  # (places, H, W)
        for _ in range(groups):
            index = index.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))  # (places, H/2, 2, W/2, 2)
            # The newest place index goes behind the older ones: p1 stays in front.
            index = index.permute(0, 2, 4, 1, 3).flatten(0, 2)  # (places*4, H/2, W/2)
        self.register_buffer("order", index.flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return x[:, self.order]


class Reroll(nn.Module):
    """The inverse of `Unroll` for the same grid and groups."""

    def __init__(self, grid: tuple[int, int], groups: int) -> None:
        super().__init__()
        order = Unroll(grid, groups).order
        self.register_buffer("order", torch.argsort(order), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return x[:, self.order]


class FromWindows(nn.Module):
    """(B, N, C) window by window -> (B, H*W, C) tokens, row by row; carrier tokens are left behind.

    Args:
        grid: (H, W); W here is the grid's side.
        window: Side of a window; divides both.
        extra: Carrier tokens before the tokens of each window.
    """

    def __init__(self, grid: tuple[int, int], window: int, extra: int = 0) -> None:
        super().__init__()
        self.rows, self.columns = grid[0] // window, grid[1] // window
        self.window = window
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """(B, windows*(extra + window**2), C) -> (B, H*W, C)."""
        side = self.window
        x = x.unflatten(1, (self.rows, self.columns, -1))[:, :, :, self.extra :]  # (B, rows, columns, side*side, C)
        x = x.unflatten(3, (side, side)).transpose(2, 3)  # (B, rows, side, columns, side, C)
        return x.flatten(1, 4)


def refuse_conversion(flow: Flow, target: str) -> None:
    """DesignError where features cannot be brought from `flow` into a layout without losing something."""
    if flow.layout == target:
        return
    if flow.layout == "set":
        raise DesignError("", "tokens have been pruned, so they stand on no grid; expected a pattern that needs none")
    if target in ("windows", "set"):
        raise DesignError("", f"reads {target}, which the part before it has to make; got {flow.layout}")
    if flow.extra and flow.layout != "windows":
        raise DesignError("", f"a class token stands before the tokens; expected a pattern that reads {flow.layout}")


def converted(flow: Flow, target: str) -> Flow:
    """The flow in another layout; see `refuse_conversion` for what cannot be had."""
    return flow if flow.layout == target else flow.but(layout=target, window=0, extra=0)


def convert(flow: Flow, target: str, groups: int = 0, wanted: int = 0) -> tuple[Part, ...]:
    """Parts that bring features from one layout into another.

    Args:
        flow: What comes in.
        target: The layout that is wanted.
        groups: Nested 2 x 2 groups of the unrolled order that comes in.
        wanted: Those of the unrolled order that is to be made.
    """
    if flow.layout == target:
        return ()
    parts = []
    if flow.layout == "unrolled" and groups:
        parts.append(Part.of(Reroll, grid=flow.grid, groups=groups))
    if flow.layout == "map":
        parts.append(Part.of(ToTokens))
    if flow.layout == "windows":
        parts.append(Part.of(FromWindows, grid=flow.grid, window=flow.window, extra=flow.extra))
    if target == "map":
        extra = 0 if flow.layout == "windows" else flow.extra
        parts.append(Part.of(ToMap, grid=flow.grid, extra=extra))
    if target == "unrolled":
        parts.append(Part.of(Unroll, grid=flow.grid, groups=wanted))
    return tuple(parts)


def inside(pattern: Pattern, options: Any, flow: Flow) -> Flow:
    """The flow as a part inside another reads it."""
    layouts = pattern.reads(options, flow)
    target = flow.layout if flow.layout in layouts else layouts[0]
    refuse_conversion(flow, target)
    refuse_class_token(pattern, flow.but(layout=target))
    return converted(flow, target)


def inner_part(pattern: Pattern, options: Any, flow: Flow) -> Part:
    """A part inside another, with conversions around it where it reads another layout than `flow` has."""
    within = inside(pattern, options, flow)
    part = pattern.part(options, within)
    if within.layout == flow.layout:
        return part
    groups = pattern.groups(options, within)
    there = convert(flow, within.layout, wanted=groups)
    back = convert(pattern.after(options, within), flow.layout, groups=groups)
    return Part(nn.Sequential, {"": [*there, part, *back]})
