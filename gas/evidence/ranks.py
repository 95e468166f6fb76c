"""How well one list of numbers orders designs as another does: Kendall and Spearman, over chosen pairs, resampled.

All of it is sums over pairs of designs of the signs of their differences, so that bands of equal macs (pairs within a
band count), missing values (their pairs do not) and bootstrap samples (pairs count as often as their designs were
drawn) are one and the same sum.

Shapes: n designs, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

LEVEL = 0.95
"""Of every interval."""


def tau_b(x: ArrayLike, y: ArrayLike, *, pairs: NDArray[np.bool_] | None = None, weights: Array | None = None) -> Array:
    """Kendall's tau-b over the pairs of designs of which both values are known.

    Pairs tied in x or in y count in neither sum: (concordant - discordant) / sqrt(untied in x * untied in y).

    Args:
        x: (n,) values; NaN where not known.
        y: (n,) values; NaN where not known.
        pairs: (n, n) symmetric: which pairs count; None for all.
        weights: (B, n) how often each design was drawn; None for every design once.

    Returns:
        (B,); NaN where no pair is untied in x, or none in y. Without weights a single number, shape ().
    """
    if weights is None and pairs is None:
        return _plain(stats.kendalltau, x, y)
    a, b = _signs(x, y, pairs)
    ones = np.ones((1, len(a))) if weights is None else weights
    found = _share(_over_pairs(a * b, ones), _over_pairs(a * a, ones), _over_pairs(b * b, ones))
    return found if weights is not None else found[0]


def rho(x: ArrayLike, y: ArrayLike, *, bands: ArrayLike | None = None, weights: Array | None = None) -> Array:
    """Spearman's rho over the designs of which both values are known; within bands, the ranks are those in the band.

    The pooled value is the correlation of the ranks in the band, taken from the band's mean.

    Args:
        x: (n,) values; NaN where not known.
        y: (n,) values; NaN where not known.
        bands: (n,) number of each design's band; None for one band.
        weights: As for `tau_b`.

    Returns:
        As `tau_b`.
    """
    if weights is None and bands is None:
        return _plain(stats.spearmanr, x, y)
    a, b = _signs(x, y, None if bands is None else same_band(bands))
    ones = np.ones((1, len(a))) if weights is None else weights
    # The sum of signs against all others is twice the (mid-)rank, taken from the mean rank.
    p, q = ones @ a.T, ones @ b.T  # (B, n)
    found = _share((ones * p * q).sum(axis=1), (ones * p * p).sum(axis=1), (ones * q * q).sum(axis=1))
    return found if weights is not None else found[0]


def partial_tau(
    x: ArrayLike,
    y: ArrayLike,
    given: Sequence[ArrayLike],
    *,
    pairs: NDArray[np.bool_] | None = None,
    weights: Array | None = None,
) -> Array:
    """Kendall's tau-b of x and y with others held fixed: the partial correlation of the signs of pairs.

    With one variable held fixed it is Kendall's (t_xy - t_xz t_yz) / sqrt((1 - t_xz^2)(1 - t_yz^2)).

    Args:
        x: (n,) values; NaN where not known.
        y: (n,) values; NaN where not known.
        given: What is held fixed, each (n,).
        pairs: As for `tau_b`.
        weights: As for `tau_b`.

    Returns:
        As `tau_b`; NaN also where x or y orders the pairs as what is held fixed does.

    Source: Kendall, A new measure of rank correlation, Biometrika 30 (1938) and Partial rank correlation, 32 (1942).
    """
    known = _known(x, y, *given)
    fixed = known if pairs is None else known & pairs
    columns = [x, y, *given]
    count = 1 if weights is None else len(weights)
    table = np.ones((count, len(columns), len(columns)))
    for i, one in enumerate(columns):
        for j, other in enumerate(columns[:i]):
            found = tau_b(one, other, pairs=fixed, weights=weights)
            table[:, i, j] = table[:, j, i] = found
    found = np.array([_partial(one) for one in table])
    return found if weights is not None else found[0]


def _partial(table: Array) -> float:
    """The partial correlation of the first two of a correlation matrix; what is held fixed may be redundant."""
    if not np.isfinite(table[:2, :2]).all():
        return np.nan
    fixed = [i for i in range(2, len(table)) if np.isfinite(table[i]).all()]  # without spread it holds nothing fixed
    inner = table[:2, :2]
    if fixed:
        across = table[:2, fixed]
        inner = inner - across @ np.linalg.pinv(table[np.ix_(fixed, fixed)], hermitian=True) @ across.T
    if min(inner[0, 0], inner[1, 1]) < 1e-9:
        return np.nan
    return float(np.clip(inner[0, 1] / np.sqrt(inner[0, 0] * inner[1, 1]), -1.0, 1.0))


def bootstrap_weights(n: int, resamples: int, seed: int) -> Array:
    """(B, n) how often each design is drawn in samples of n designs with replacement."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(np.float64)


def interval(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """The middle share of bootstrap values; NaN twice where a tenth of them or more are not known."""
    found = values[np.isfinite(values)]
    if len(found) <= 0.9 * len(values):
        return np.nan, np.nan
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def same_band(bands: ArrayLike) -> NDArray[np.bool_]:
    """(n, n) which pairs stand in one band; a band number that is NaN stands in none."""
    numbers = np.asarray(bands, dtype=float)
    return numbers[:, None] == numbers[None, :]


def _plain(measure: Callable, x: ArrayLike, y: ArrayLike) -> Array:
    """Scipy's figure over all designs; NaN where x or y does not vary."""
    both = np.array([np.asarray(x, dtype=float), np.asarray(y, dtype=float)])
    x, y = both[:, np.isfinite(both).all(axis=0)]
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.array(np.nan)
    return np.array(measure(x, y).statistic)


def _known(*columns: ArrayLike) -> NDArray[np.bool_]:
    known = np.isfinite(np.array([np.asarray(column, dtype=float) for column in columns])).all(axis=0)
    return known[:, None] & known[None, :]


def _signs(x: ArrayLike, y: ArrayLike, pairs: NDArray[np.bool_] | None) -> tuple[Array, Array]:
    """(n, n) signs of the differences of x and of y; 0 for pairs that do not count."""
    counted = _known(x, y) if pairs is None else _known(x, y) & pairs
    return tuple(np.where(counted, _sign(values), 0.0) for values in (x, y))


def _sign(values: ArrayLike) -> Array:
    column = np.nan_to_num(np.asarray(values, dtype=float))
    return np.sign(column[:, None] - column[None, :])


def _over_pairs(table: Array, weights: Array) -> Array:
    """(B,) sums over ordered pairs, each as often as both its designs were drawn."""
    return ((weights @ table) * weights).sum(axis=1)


def _share(top: Array, left: Array, right: Array) -> Array:
    scale = np.sqrt(left * right)
    return np.divide(top, scale, out=np.full(len(top), np.nan), where=scale > 0)
