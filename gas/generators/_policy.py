"""The parameterised generator: a probability for every choice, given the choice before it and the size aimed at.

Shapes: N designs, D decisions, K choices, B bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gas.space import Decision
    from gas.space.designs import Designs
    from gas.space.writing import Writer

BANDS = 8
PRIOR = 0.5  # designs' worth of belief in the plain shares of choices, whatever the choice before
LEAST = 0.05  # share of choices that stay uniform, so that nothing is ever given up


class Policy:
    """Writes designs decision by decision: a Markov chain over choices, one for each band of sizes.

    It begins uniform, or at prototypes; `move` takes its probabilities towards given designs. What the budgets or the
    space do not allow is masked by the writer.

    Source: Rubinstein, The cross-entropy method, 1999, for the update; Wong et al., arXiv 1809.05989, for the role: the
    generator whose parameters the inquisitor changes. Differs: a table instead of a network.

    Args:
        decisions: Of the space.
        rate: How far one move goes: 1 forgets what was before.
    """

    def __init__(self, decisions: Sequence[Decision], *, rate: float = 0.7) -> None:
        self._rate = rate
        widest = max((len(d.choices) for d in decisions), default=1)
        self._open = np.array([[k < len(d.choices) for k in range(widest)] for d in decisions], dtype=float)
        even = self._open / self._open.sum(axis=1, keepdims=True)  # (D, K)
        self._even = np.broadcast_to(even[None, :, None], (BANDS, len(decisions), widest + 1, widest)).copy()
        self.probabilities = self._even.copy()  # (B, D, K + 1, K): the choice before, moved up by one for none

    def write(self, writer: Writer, count: int, rng: np.random.Generator) -> Designs:
        """`count` designs or a few less, in equal parts for every band."""
        bands = rng.integers(BANDS, size=count)
        upto = np.cumsum(self.probabilities, axis=-1)
        upto[..., -1] = np.inf  # a sum of shares may end a little below 1

        def wish(decision: int, which: slice, before: NDArray) -> NDArray:
            ends = upto[bands[which], decision, before + 1]  # (n, K)
            chosen = (rng.random((len(ends), 1)) >= ends).sum(axis=1)
            return np.minimum(chosen, int(self._open[decision].sum()) - 1)

        designs, inside = writer.write(wish, rng, count)
        return designs if inside.all() else designs[inside]

    def move(self, codes: NDArray[np.integer], sizes: NDArray, weights: NDArray | None = None) -> None:
        """Moves towards designs.

        Args:
            codes: (N, D) numbers of choices; -1 where a decision does not exist.
            sizes: (N,) by which they are put into bands of equal numbers, the smallest first.
            weights: (N,) how much each counts; all alike where not given.
        """
        if not len(codes):
            return
        weights = np.ones(len(codes)) if weights is None else weights
        bands = np.empty(len(codes), dtype=np.int64)
        bands[np.argsort(sizes, kind="stable")] = np.arange(len(codes)) * BANDS // len(codes)
        if len(codes) < 4 * BANDS:  # too few to tell sizes apart: every band learns from all
            codes, weights = np.tile(codes, (BANDS, 1)), np.tile(weights, BANDS)
            bands = np.repeat(np.arange(BANDS), len(codes) // BANDS)
        counts = np.zeros_like(self.probabilities)
        before = np.full(len(codes), -1, dtype=np.int64)
        for decision, choice in enumerate(codes.T.astype(np.int64)):
            there = choice >= 0
            np.add.at(counts, (bands[there], decision, before[there] + 1, choice[there]), weights[there])
            before = choice
        plain = counts.sum(axis=2, keepdims=True) + 1e-9 * self._even[:, :, :1]
        plain /= plain.sum(axis=-1, keepdims=True)
        found = counts + PRIOR * plain
        found /= found.sum(axis=-1, keepdims=True)
        moved = (1 - self._rate) * self.probabilities + self._rate * found
        self.probabilities = (1 - LEAST) * moved + LEAST * self._even
