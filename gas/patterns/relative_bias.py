"""Learned numbers for the offsets between tokens, added to the scores of attention.

No pattern is registered here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelativeBias(nn.Module):
    """One learned number per head and offset between two places of a grid.

    Args:
        heads: Number of heads (K).
        grid: (H, W) of the tokens that are looked at (H*W keys).
        stride: The tokens that look stand on every stride-th place of each row and column.
        signed: Every offset has a number of its own, (2H - 1)(2W - 1) for each head; otherwise offsets of equal
            |dy| and |dx| share one, H*W for each head.

    Source: signed: Swin, arXiv 2103.14030, section 3.2; not signed: LeViT, arXiv 2104.01136, section 4. The tables are
    laid out as in the public codes of the two.
    """

    def __init__(self, heads: int, grid: tuple[int, int], stride: int = 1, signed: bool = False) -> None:
        super().__init__()
        height, width = grid
        self.signed = signed
        row = torch.arange(0, height, stride)[:, None] - torch.arange(height)  # (H/stride, H)
        column = torch.arange(0, width, stride)[:, None] - torch.arange(width)  # (W/stride, W)
        if signed:
            row, column, wide = row + height - 1, column + width - 1, 2 * width - 1
            shape = ((2 * height - 1) * wide, heads)
        else:
            row, column, wide = row.abs(), column.abs(), width
            shape = (heads, height * width)
        index = row[:, None, :, None] * wide + column[None, :, None, :]  # (H/stride, W/stride, H, W)
        self.register_buffer("index", index.flatten(2).flatten(0, 1), persistent=False)  # (queries, keys)
        self.table = nn.Parameter(torch.empty(shape))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self) -> Tensor:
        """-> (K, queries, keys)."""
        return (self.table.t() if self.signed else self.table)[:, self.index]

    def folded(self) -> nn.Module:
        """The numbers at their places."""
        return FixedBias(self().detach())


class FixedBias(nn.Module):
    """A bias that is not looked up any more.

    Args:
        value: (K, queries, keys), or with the windows before: (windows, K, queries, keys).
    """

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self) -> Tensor:
        """-> what it was made with."""
        return self.value
