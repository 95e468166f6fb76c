"""How many weighted points lie at or below each of many limits, in one or two columns at once.

Two ways: exact for points that are held and sorted, and a table of cells for points that only pass by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Sorted:
    """Points that are held, and how many ways there are to make those at or below a limit in every column.

    Args:
        points: (n, c), c being 1 or 2.
        ways: (n,) weights; their sum stays within 64 bits, or they are residues.
        modulus: Of the residues; None where the numbers are themselves.
    """

    def __init__(self, points: Ints, ways: Ints, modulus: int | None = None) -> None:
        order = np.argsort(points[:, 0], kind="stable")
        self._points, self._modulus, self._ways = points[order], modulus, ways[order]
        self._sums = _summed(self._ways)

    def look(self, limits: Ints) -> Ints:
        """(q,) ways to make what lies at or below each limit, (q, c)."""
        below = np.searchsorted(self._points[:, 0], limits[:, 0], side="right")
        if self._points.shape[1] == 1:
            counts = self._sums[below]
        else:
            counts = _ranked(self._points[:, 1], self._ways, below, limits[:, 1])
        return counts if self._modulus is None else counts % self._modulus


def _ranked(values: Ints, ways: Ints, first: Ints, limits: Ints) -> Ints:
    """(q,) summed ways of those among the `first` values that are at most the limit.

    A wavelet matrix: bit by bit of the values' ranks, the zeros are moved before the ones, and each query follows the
    bits of its own rank; where that has a one, all zeros in its range lie below it.
    Source: Claude, Navarro and Ordonez, The wavelet matrix, Information Systems 47 (2015), section 3.
    """
    distinct, ranks = np.unique(values, return_inverse=True)
    wanted = np.searchsorted(distinct, limits, side="right")
    low, high, counts = np.zeros_like(first), first, np.zeros(len(first), dtype=np.int64)
    for bit in reversed(range(len(distinct).bit_length())):
        ones = (ranks >> bit) & 1
        zeros = _summed(1 - ones)
        light = _summed(ways * (1 - ones))
        up = (wanted >> bit) & 1 == 1
        counts += np.where(up, light[high] - light[low], 0)
        low, high = (np.where(up, zeros[-1] + end - zeros[end], zeros[end]) for end in (low, high))
        order = np.argsort(ones, kind="stable")
        ranks, ways = ranks[order], ways[order]
    return counts


def _summed(values: Ints) -> Ints:
    """(n + 1,) sums of the first 0, 1, ... n values."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])


class Cells:
    """A table of cells into which points are entered, and then what lies at or below a limit is looked up.

    Args:
        base: (c,) least costs of the points.
        top: (c,) greatest costs that matter; points above are left out.
        grain: (c,) what all costs are apart from `base` by multiples of.
        number: Cells at most.

    Attributes:
        slack: (c,) costs that one cell holds lie so far apart; 0 where the table is exact.
    """

    def __init__(self, base: Ints, top: Ints, grain: Ints, number: int) -> None:
        spans = np.maximum(top - base, 0) // grain + 1
        sides = np.minimum(spans, int(number ** (1 / len(base))))
        if len(base) == 2:  # what one side does not need, the other has
            sides = np.minimum(spans, np.maximum(sides, number // sides[::-1]))
        per_side = -(-spans // sides)
        self.base = base
        self.width = per_side * grain
        self.slack = self.width - grain
        self._sides = -(-spans // per_side)
        self._sums = np.zeros(tuple(self._sides + 1), dtype=np.int64)

    def enter(self, costs: Ints, ways: Ints) -> None:
        """Adds points."""
        places = (costs - self.base) // self.width
        kept = (places < self._sides).all(axis=1)
        if not kept.all():
            places, ways = places[kept], ways[kept]
        np.add.at(self._sums.reshape(-1), self._flat(places + 1), ways)

    def close(self, modulus: int | None = None) -> None:
        """Turns entries into sums over everything at or below."""
        for axis in range(self._sums.ndim):
            if modulus is not None:
                self._sums %= modulus
            np.cumsum(self._sums, axis=axis, out=self._sums)
        if modulus is not None:
            self._sums %= modulus

    def look(self, limits: Ints) -> Ints:
        """(q,) ways in the cells whose least costs are at or below each limit."""
        places = (limits - self.base) // self.width + 1
        np.clip(places, 0, self._sides, out=places)
        return self._sums.reshape(-1).take(self._flat(places))

    def _flat(self, places: Ints) -> Ints:
        return places[:, 0] if places.shape[1] == 1 else places[:, 0] * (self._sides[1] + 1) + places[:, 1]
