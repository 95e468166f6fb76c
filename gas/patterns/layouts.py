"""Conversions between layouts: pure permutations, no parameters, no multiply-adds.

Unrolled order (Hiera, arXiv 2306.00989, section 3 and its public code): the index of a token is
(p1, p2, ..., pL, unit row, unit column), where p1 is its place in its 2 x 2 group, p2 the place of that group in the
2 x 2 group of groups, and so on. So a 2 x 2 pooling is a maximum over the leading quarter index, what is left is
unrolled again with one group fewer, and a mask unit of side 2^j is the leading 4^j of the index: nothing moves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ToTokens(nn.Module):
    """(B, C, H, W) map -> (B, H*W, C) tokens, row by row."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, C)."""
        return x.flatten(2).transpose(1, 2)


class ToMap(nn.Module):
    """(B, H*W, C) tokens -> (B, C, H, W) map."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = tuple(grid)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, C, H, W)."""
        return x.transpose(1, 2).unflatten(2, self.grid)


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
