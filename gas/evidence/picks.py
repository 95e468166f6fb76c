"""What one would get who picked designs by a score: how many of the best, and how far from the best one.

Where a score ties, its picks are drawn from those tied with equal chances, and the expectation is told.

Shapes: n designs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

TOP = 0.1
"""Share of the designs that count as the best."""


def recall(score: ArrayLike, truth: ArrayLike, share: float = TOP) -> float:
    """Share of the best designs by truth that are also among as many best ones by score, 0 to 1.

    Args:
        score: (n,) greater is better; designs whose score is NaN are left out.
        truth: (n,) greater is better.
        share: Of the designs that count as the best, one of them at least.

    Returns:
        NaN where no design has a score.
    """
    score, truth = _known(score, truth)
    if not len(score):
        return math.nan
    count = max(1, math.ceil(share * len(score) - 1e-9))
    return float((_chances(score, count) * _chances(truth, count)).sum() / count)


def regret(score: ArrayLike, truth: ArrayLike, picks: int = 1) -> float:
    """How much better the best design is than the best of those that the score puts first, in the truth's unit.

    Args:
        score: (n,) greater is better; designs whose score is NaN are never picked.
        truth: (n,) greater is better.
        picks: How many designs are picked.

    Returns:
        NaN where no design has a score.
    """
    best = np.nanmax(np.asarray(truth, dtype=float))
    score, truth = _known(score, truth)
    if not len(score):
        return math.nan
    picks = min(picks, len(score))
    edge = np.sort(score)[-picks]
    sure, tied = truth[score > edge], np.sort(truth[score == edge])[::-1]
    drawn, floor = picks - len(sure), sure.max(initial=-math.inf)
    # The best of the drawn ones is the k-th of those tied where the others come from behind it.
    ways = math.comb(len(tied), drawn)
    chances = [math.comb(len(tied) - k - 1, drawn - 1) / ways for k in range(len(tied))]
    expected = sum(chance * max(value, floor) for chance, value in zip(chances, tied, strict=True) if chance)
    return float(best - expected)


def _chances(values: Array, count: int) -> Array:
    """(n,) the chance of each design to be among the `count` greatest, ties being drawn."""
    edge = np.sort(values)[-count]
    above, tied = values > edge, values == edge
    return above + tied * (count - above.sum()) / tied.sum()


def _known(score: ArrayLike, truth: ArrayLike) -> tuple[Array, Array]:
    score, truth = np.asarray(score, dtype=float), np.asarray(truth, dtype=float)
    known = np.isfinite(score) & np.isfinite(truth)
    return score[known], truth[known]
