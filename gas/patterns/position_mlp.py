"""Position embeddings and attention biases that a small network reads off coordinates.

No pattern is registered here. Neither depends on the image, so folded for inference both are constants.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.patterns.base import Cost, linear_cost
from gas.patterns.relative_bias import FixedBias


class PlaceEmbedding(nn.Module):
    """A vector for every place of a grid, from its coordinates: two linear layers with a ReLU.

    Args:
        dim: Channels.
        grid: (H, W).
        hidden: Channels between the layers; the second layer has no bias.
        window: Side of the windows that the places are given out by; None for row by row.

    Source: FasterViT, arXiv 2306.06189, section 3.3. Differs: along a side of one place, where the public code divides
    by 0, the coordinate is 0.
    """

    def __init__(self, dim: int, grid: tuple[int, int], hidden: int = 512, window: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, dim, bias=False)
        middle = torch.tensor([side // 2 for side in grid], dtype=torch.get_default_dtype())
        places = (_places(grid, window) - middle) / middle.clamp_min(1.0)  # (N, 2), from -1 to 1
        self.register_buffer("places", places, persistent=False)

    def forward(self) -> Tensor:
        """-> (1, N, C)."""
        return self.fc2(F.relu(self.fc1(self.places[None])))

    def folded(self) -> nn.Module:
        """The vectors."""
        return FixedBias(self().detach())


class OffsetBias(nn.Module):
    """A number per head for the offset between two places, 0 to 16, from log-spaced coordinates.

    Args:
        heads: Number of heads (K).
        grid: (H, W).
        hidden: Channels between the two linear layers, of which the second has no bias.
        extra: Tokens before those on the grid; what they see, and what sees them, has the bias 0.
        window: Side of the windows that the places are given out by; None for row by row.

    Source: Swin v2, arXiv 2111.09883, section 3.3, as in FasterViT, arXiv 2306.06189, section 3.3.
    """

    def __init__(
        self, heads: int, grid: tuple[int, int], hidden: int = 512, extra: int = 0, window: int | None = None
    ) -> None:
        super().__init__()
        self.extra = extra
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, heads, bias=False)
        offsets = _offsets(grid)
        farthest = torch.tensor([max(side - 1, 1) for side in grid], dtype=torch.get_default_dtype())
        scaled = 8 * offsets / farthest
        scaled = scaled.sign() * (scaled.abs() + 1).log2() / 3  # log base 8
        self.register_buffer("offsets", scaled, persistent=False)  # ((2H - 1)(2W - 1), 2)
        places = _places(grid, window)
        apart = places[:, None] - places[None] + torch.tensor([side - 1 for side in grid])  # (N, N, 2), from 0
        index = apart[..., 0] * (2 * grid[1] - 1) + apart[..., 1]
        self.register_buffer("index", index, persistent=False)

    def forward(self) -> Tensor:
        """-> (1, K, extra + N, extra + N)."""
        values = 16 * self.fc2(F.relu(self.fc1(self.offsets))).sigmoid()  # ((2H - 1)(2W - 1), K)
        return F.pad(values.t()[:, self.index], (self.extra, 0, self.extra, 0))[None]

    def folded(self) -> nn.Module:
        """The numbers at their places."""
        return FixedBias(self().detach())


def place_cost(dim: int, grid: tuple[int, int], hidden: int = 512) -> Cost:
    """Cost of a PlaceEmbedding: its layers run once for each place."""
    places = grid[0] * grid[1]
    return linear_cost(places, 2, hidden) + linear_cost(places, hidden, dim, bias=False)


def offset_cost(heads: int, grid: tuple[int, int], hidden: int = 512) -> Cost:
    """Cost of an OffsetBias: its layers run once for each offset."""
    offsets = (2 * grid[0] - 1) * (2 * grid[1] - 1)
    return linear_cost(offsets, 2, hidden) + linear_cost(offsets, hidden, heads, bias=False)


def _places(grid: tuple[int, int], window: int | None) -> Tensor:
    """(N, 2): row and column of each place, row by row or window by window."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    places = torch.stack([rows, columns], dim=2)  # (H, W, 2)
    if window:
        places = places.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2)
    return places.flatten(0, -2)


def _offsets(grid: tuple[int, int]) -> Tensor:
    """((2H - 1)(2W - 1), 2): every offset between two places, row by row."""
    rows, columns = torch.meshgrid(*(torch.arange(1 - side, side) for side in grid), indexing="ij")
    return torch.stack([rows, columns], dim=2).flatten(0, 1)
