"""Several scores as one: means of ranks or of z-scores, and a ridge regression that never sees what it scores.

Shapes: n designs, P scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]

FOLDS, REPEATS = 10, 10
ALPHAS = tuple(10.0**power for power in range(-2, 5))
"""Strengths of the ridge that are tried."""
NAMED = 3  # scores at most that a combination names


def mean_rank(columns: ArrayLike) -> Array:
    """(n, P) scores -> (n,) mean over the scores of each design's rank among all; NaN where a score is missing."""
    columns = np.asarray(columns, dtype=float)
    known = np.isfinite(columns).all(axis=1)
    found = np.full(len(columns), np.nan)
    if known.any():
        found[known] = rankdata(columns[known], axis=0).mean(axis=1)
    return found


def mean_z(columns: ArrayLike) -> Array:
    """(n, P) scores -> (n,) mean over the scores of (score - mean) / deviation; NaN where a score is missing.

    A score that does not vary counts as 0 for all.
    """
    columns = np.asarray(columns, dtype=float)
    known = np.isfinite(columns).all(axis=1)
    found = np.full(len(columns), np.nan)
    if known.any():
        found[known] = _standard(columns[known], columns[known]).mean(axis=1)
    return found


def fitted(
    columns: ArrayLike,
    truth: ArrayLike,
    *,
    families: ArrayLike | None = None,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Array:
    """A ridge regression from scores to the truth, each design scored by fits that saw neither it nor its fold.

    The scores are standardised and the strength chosen (leaving out one design at a time) by the designs that are
    fitted to. A fit's constant is left away: leaving out a good design lowers the mean of the others, and with it the
    score, so that folds would be told apart backwards.

    Args:
        columns: (n, P) scores.
        truth: (n,) what is to be told.
        families: (n,) which designs are kin and stay in one fold, since a fit to one of a family has all but seen the
            others; None where each stands alone.
        folds: Shares that the designs, or the families, are divided into; at most as many as there are.
        repeats: Divisions that the score is the mean over.
        seed: Of the divisions.

    Returns:
        (n,) deviation from the mean that is expected of each design; NaN where a score or the truth is missing, for
        all where fewer than five designs, or one family, are left.
    """
    columns, truth = np.asarray(columns, dtype=float), np.asarray(truth, dtype=float)
    known = np.flatnonzero(np.isfinite(columns).all(axis=1) & np.isfinite(truth))
    found = np.full(len(columns), np.nan)
    if len(known) < 5 or columns.shape[1] == 0:
        return found
    kin = np.arange(len(known)) if families is None else np.unique(np.asarray(families)[known], return_inverse=True)[1]
    count = int(kin.max()) + 1
    if count < 2:
        return found
    rng, total = np.random.default_rng(seed), np.zeros(len(known))
    for _ in range(repeats):
        for part in np.array_split(rng.permutation(count), min(folds, count)):
            left_out = np.flatnonzero(np.isin(kin, part))
            rest = np.setdiff1d(np.arange(len(known)), left_out)
            total[left_out] += _ridge(columns[known[rest]], truth[known[rest]], columns[known[left_out]])
    found[known] = total / repeats
    return found


def _ridge(columns: Array, truth: Array, wanted: Array) -> Array:
    """What a ridge regression fitted to some designs expects of others, as a deviation from the mean."""
    inputs, target = _standard(columns, columns), truth - truth.mean()
    left, sizes, right = np.linalg.svd(inputs, full_matrices=False)
    told = left.T @ target
    best, slopes = np.inf, np.zeros(inputs.shape[1])
    for alpha in ALPHAS:
        share = sizes**2 / (sizes**2 + alpha)
        # Leaving one out, the mean included, in closed form.
        hat = (left**2) @ share + 1.0 / len(target)
        error = float((((target - left @ (share * told)) / np.maximum(1.0 - hat, 1e-9)) ** 2).mean())
        if error < best:
            best, slopes = error, right.T @ (sizes / (sizes**2 + alpha) * told)
    return _standard(wanted, columns) @ slopes


def _standard(columns: Array, by: Array) -> Array:
    """Columns from the mean of others, in their deviations; 0 where those do not vary."""
    deviation = by.std(axis=0)
    varies = deviation > 1e-12 * np.maximum(np.abs(by).max(axis=0), 1e-300)
    return np.where(varies, (columns - by.mean(axis=0)) / np.where(varies, deviation, 1.0), 0.0)


def name_of(way: str, parts: Sequence[str]) -> str:
    """What a combination is called: `mean_z(a + b)`, `mean_z of 8 scores`."""
    return f"{way}({' + '.join(parts)})" if len(parts) <= NAMED else f"{way} of {len(parts)} scores"
