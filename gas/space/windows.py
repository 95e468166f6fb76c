"""Bounds on macs and params as whole numbers: which of them can be broken at all, and what lies within."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gas.evaluation import Constraint
from gas.space.tables import COSTS


@dataclass(frozen=True)
class Window:
    """Least and greatest allowed costs.

    Args:
        columns: The costs that some design has too little or too much of, as numbers of COSTS.
        low: (columns,) least allowed; the least that any design has where there is no bound.
        high: (columns,) greatest allowed, likewise.
        floors: (columns,) True where a design can lie below `low`.
    """

    columns: tuple[int, ...]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    floors: NDArray[np.bool_]

    @classmethod
    def of(cls, constraints: Sequence[Constraint], cost_range: Mapping[str, tuple[int, int]]) -> Window:
        """The constraints on macs and params; those that every design meets are left out."""
        columns, low, high, floors = [], [], [], []
        for column, name in enumerate(COSTS):
            least, most = cost_range[name]
            mine = [c for c in constraints if c.metric == name]
            bottom = max((least, *(math.ceil(c.low) for c in mine if c.low > -math.inf)))
            top = min((most, *(math.floor(c.high) for c in mine if c.high < math.inf)))
            if (bottom, top) != (least, most):
                columns.append(column)
                low.append(bottom)
                high.append(top)
                floors.append(bottom > least)
        return cls(tuple(columns), np.array(low, np.int64), np.array(high, np.int64), np.array(floors, bool))

    @classmethod
    def open(cls) -> Window:
        """One that holds everything."""
        return cls.of((), dict.fromkeys(COSTS, (0, 0)))

    @property
    def empty(self) -> bool:
        """True where nothing can lie within."""
        return bool((self.low > self.high).any())

    def holds(self, costs: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
        """(n,) mask: the designs whose costs, one (n,) array per column of the window, lie within."""
        inside = np.ones(len(costs[0]), dtype=bool)
        for cost, low, high, floor in zip(costs, self.low, self.high, self.floors, strict=True):
            inside &= cost <= high
            if floor:
                inside &= cost >= low
        return inside

    def corners(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(sign, limits): what lies within is the signed sum of how many designs lie at or below each of the limits."""
        ends = [
            [(1, high)] + [(-1, low - 1)] * bool(floor)
            for low, high, floor in zip(self.low, self.high, self.floors, strict=True)
        ]
        for corner in product(*ends):
            yield math.prod(sign for sign, _ in corner), np.array([limit for _, limit in corner], dtype=np.int64)
