"""What a design is expected to add to what is known: one of three ways, by what is wanted and what is known exactly.

Losses everywhere: less is better. Shapes: N designs, M objectives, Q equally likely scenarios.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gas.generators._improvement import CELLS, CostTable


class Acquisition(Protocol):
    """Says how much designs are expected to add."""

    def add(self, losses: NDArray) -> None:
        """Takes (M,) losses of a design as known."""

    def improvement(self, losses: NDArray) -> NDArray[np.float64]:
        """(Q, N, M) equally likely losses -> (N,) how much each design is expected to add; 0 for nothing."""


class BestSoFar:
    """One objective: the expected improvement on the best."""

    def __init__(self) -> None:
        self._best = np.inf

    def add(self, losses: NDArray) -> None:
        """See Acquisition."""
        self._best = min(self._best, float(losses[0]))

    def improvement(self, losses: NDArray) -> NDArray[np.float64]:
        """See Acquisition; before anything is known, the gain on the worst of these. Infinite losses gain nothing."""
        if self._best == np.inf:
            known = np.isfinite(losses[..., 0])
            worst = losses[..., 0].max(where=known, initial=-np.inf)
            return np.where(known, worst - losses[..., 0] + 1e-9, 0.0).mean(axis=0)
        return np.maximum(self._best - losses[..., 0], 0.0).mean(axis=0)


class KnownCosts:
    """Several objectives of which one is uncertain: the expected hypervolume improvement (CostTable).

    Args:
        uncertain: Number of the uncertain objective.
        reference: (M,) losses of the reference point.
        costs: (N, M - 1) of designs such as will be asked about.
        most: Greatest gain in the uncertain objective that is told apart.
    """

    def __init__(self, uncertain: int, reference: NDArray, costs: NDArray, most: float) -> None:
        self._uncertain, self._reference = uncertain, reference
        self._others = [i for i in range(len(reference)) if i != uncertain]
        self._table = CostTable.around(costs, reference[self._others], most)

    def add(self, losses: NDArray) -> None:
        """See Acquisition."""
        self._table.add(losses[self._others], self._reference[self._uncertain] - losses[self._uncertain])

    def improvement(self, losses: NDArray) -> NDArray[np.float64]:
        """See Acquisition."""
        gains = self._reference[self._uncertain] - losses[..., self._uncertain]
        return self._table.improvement(losses[0][:, self._others], gains)  # alike in all scenarios


class Weighted:
    """Several uncertain objectives, or more costs than a table holds: expected improvement of a Chebyshev norm.

    The weights are drawn anew after each design that is added, so a batch spreads over the front.

    Source: Knowles, ParEGO, IEEE TEC 10(1), 2006.

    Args:
        low: (M,) losses scaled to 0.
        high: (M,) losses scaled to 1.
        rng: Draws the weights.
    """

    def __init__(self, low: NDArray, high: NDArray, rng: np.random.Generator) -> None:
        self._low, self._span = low, np.maximum(high - low, 1e-12)
        self._known: list[NDArray] = []
        self._rng = rng
        self._weights = rng.dirichlet(np.ones(len(low)))

    def add(self, losses: NDArray) -> None:
        """See Acquisition."""
        self._known.append((losses - self._low) / self._span)
        self._weights = self._rng.dirichlet(np.ones(len(self._low)))

    def improvement(self, losses: NDArray) -> NDArray[np.float64]:
        """See Acquisition."""
        norms = self._norm((losses - self._low) / self._span)
        best = self._norm(np.array(self._known)).min() if self._known else np.inf
        if best == np.inf:
            best = norms.max(where=np.isfinite(norms), initial=-np.inf)
        return np.maximum(best - norms, 0.0).mean(axis=0)

    def _norm(self, scaled: NDArray) -> NDArray:
        weighed = scaled * self._weights
        return weighed.max(axis=-1) + 0.05 * weighed.sum(axis=-1)


def most_costs() -> int:
    """Greatest number of exact costs that KnownCosts can hold."""
    return max(CELLS)
