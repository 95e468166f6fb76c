"""Expected hypervolume improvement where the costs are known: exact in them, a table look-up per design.

A design's costs say which part of the cost space it would dominate; how much hypervolume that adds depends on its
uncertain value alone, as a convex function that one table holds for all costs at once.

Shapes: N designs, C exact costs, Q quantiles of the uncertain value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

CELLS = {0: 1, 1: 512, 2: 96, 3: 26, 4: 12}  # per cost, by the number of costs
LEVELS = 160  # of the uncertain value
QUANTILES = 6  # that stand for a normal distribution


def quantiles(mean: NDArray, deviation: NDArray) -> NDArray[np.float64]:
    """(N,), (N,) -> (Q, N) equally likely values of normal distributions."""
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    nodes = ndtri(places)
    nodes /= np.sqrt((nodes**2).mean())  # so that their spread is the distribution's own
    return mean + nodes[:, None] * deviation


class CostTable:
    """How much hypervolume designs would add to a front, with one uncertain value and exact costs.

    All of it is in gains: how far a value lies on the good side of the reference point.

    Source: Daulton et al., arXiv 2006.05078, for the expected hypervolume improvement as an integral over cells.
    Differs: all but one objective are known, so the cells are those of the costs and never grow in number; costs are
    told to the cell (one in 96 of each, for two costs), gains by linear interpolation between 160 levels.

    Args:
        edges: Per cost: rising edges of its cells, the last one at the reference point.
        most: Greatest gain that is told apart.
    """

    def __init__(self, edges: Sequence[NDArray], most: float) -> None:
        self._edges = [np.asarray(e, dtype=float) for e in edges]
        self._shape = tuple(len(e) - 1 for e in self._edges) or (1,)
        sizes = [np.diff(e) / (e[-1] - e[0]) for e in self._edges] or [np.ones(1)]
        self._areas = sizes[0]
        for size in sizes[1:]:
            self._areas = np.multiply.outer(self._areas, size)
        self._levels = np.linspace(0.0, max(most, 1e-12), LEVELS)
        self._best = np.zeros(self._shape)
        self._table: NDArray[np.float32] | None = None

    @classmethod
    def around(cls, costs: NDArray, reference: NDArray, most: float) -> CostTable:
        """With finer cells where designs are.

        Args:
            costs: (N, C) costs of designs such as will be asked about.
            reference: (C,) of the reference point.
            most: Greatest gain that is told apart.
        """
        cells = CELLS[len(reference)]
        edges = []
        for column, end in zip(costs.T, reference, strict=True):
            column = column[column < end]
            least = column.min() if len(column) else 0.5 * end
            # The best may cost less than all that was drawn so far, and their costs differ by shares.
            if least > 0:
                even = np.geomspace(0.25 * least, end, cells // 2 + 1)
            else:
                even = np.linspace(least - 0.25 * (end - least), end, cells // 2 + 1)
            dense = np.quantile(column, np.linspace(0, 1, cells // 2)) if len(column) else even
            edges.append(np.unique(np.concatenate([even, dense])))
        return cls(edges, most)

    def add(self, costs: NDArray, gain: float) -> None:
        """Adds a design to the front: (C,) its costs, and its gain."""
        place = self._places(costs[None])
        if place is None or gain <= 0 or (len(costs) and (place < 0).any()):
            return
        corner = tuple(slice(int(p), None) for p in place[:, 0]) if len(costs) else (slice(None),)
        self._best[corner] = np.maximum(self._best[corner], gain)
        self._table = None

    def improvement(self, costs: NDArray, gains: NDArray) -> NDArray[np.float64]:
        """(N, C) exact costs, (Q, N) equally likely gains -> (N,) the hypervolume that each is expected to add."""
        if self._table is None:
            self._table = self._built()
        places = self._places(costs)
        inside = (places >= 0).all(axis=0)
        flat = np.zeros(len(costs), dtype=np.int64)
        if len(self._edges):
            flat = np.ravel_multi_index(tuple(np.maximum(places, 0)), self._shape) * LEVELS
        step = self._levels[1]
        total = np.zeros(len(costs))
        for gain in gains:
            at = np.clip(gain / step, 0.0, LEVELS - 1 - 1e-6)
            level = at.astype(np.int64)
            low, high = self._table.take(flat + level), self._table.take(flat + level + 1)
            total += low + (at - level) * (high - low)
        return np.where(inside, total / len(gains), 0.0)

    def _places(self, costs: NDArray) -> NDArray[np.int64]:
        """(C, N) cells; -1 beyond the reference point."""
        places = []
        for column, edges in zip(costs.T, self._edges, strict=True):
            place = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
            places.append(np.where(column > edges[-1], -1, place))
        return np.array(places, dtype=np.int64).reshape(len(self._edges), len(costs))

    def _built(self) -> NDArray[np.float32]:
        """Per cell and level: the hypervolume that a design there, with that gain, adds."""
        # Levels stand last, so that the sums below run over whole rows of them at a time.
        table = self._levels.astype(np.float32) - self._best.astype(np.float32)[..., None]
        np.maximum(table, 0.0, out=table)
        table *= self._areas.astype(np.float32)[..., None]
        for axis in range(table.ndim - 1):
            slices = np.moveaxis(table, axis, 0)
            for k in range(len(slices) - 2, -1, -1):  # ten times as fast as numpy's cumulative sum
                slices[k] += slices[k + 1]
        return table.ravel()
