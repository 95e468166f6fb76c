"""How far the truth itself can be trusted: designs trained with several seeds, and the ceiling that follows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gas.evidence.ranks import tau_b

APART = 2.0
"""Pairs further apart than so many deviations of their difference count as surely different."""


@dataclass(frozen=True)
class Noise:
    """What chance does to the truth.

    Args:
        deviation: Standard deviation of a training's result from seed to seed, in the truth's unit.
        designs: Designs trained more than once.
        trainings: Trainings of these.
        between: Kendall's tau-b between the results of two seeds over these designs, the mean over pairs of seeds.
        reliability: Share of the variance of single trainings of these designs that lies between designs, 0 to 1.
    """

    deviation: float
    designs: int
    trainings: int
    between: float
    reliability: float


def noise_of(results: Mapping[str, Sequence[float]]) -> Noise | None:
    """The noise, from the designs that were trained more than once; None where fewer than three were.

    Args:
        results: By design its results, each of another seed and in the order of the seeds.
    """
    again = [np.asarray(values, dtype=float) for values in results.values() if len(values) > 1]
    if len(again) < 3:
        return None
    freedom = sum(len(values) - 1 for values in again)
    within = sum(((values - values.mean()) ** 2).sum() for values in again) / freedom
    taus = []
    for i, j in itertools.combinations(range(max(map(len, again))), 2):
        both = [(values[i], values[j]) for values in again if len(values) > j]
        if len(both) >= 3:
            taus.append(float(tau_b(*zip(*both, strict=True))))
    # The mean of m results varies by the noise / m beside what designs differ by.
    spread = np.var([values.mean() for values in again], ddof=1) - within * np.mean([1 / len(v) for v in again])
    total = max(spread, 0.0) + within
    return Noise(
        deviation=math.sqrt(within),
        designs=len(again),
        trainings=sum(map(len, again)),
        between=float(np.mean(taus)) if taus else math.nan,
        reliability=max(spread, 0.0) / total if total > 0 else math.nan,
    )


def ceiling(truth: ArrayLike, seeds: ArrayLike, bands: ArrayLike, deviation: float) -> float:
    """Kendall's tau that a score which knew every design's mean over all seeds would be expected to reach, in bands.

    For normal values: 2 / pi * asin(r), where r^2 is the share of the truth's variance that is not noise.

    Args:
        truth: (n,) mean of each design over its seeds.
        seeds: (n,) how many these are.
        bands: (n,) number of each design's band.
        deviation: Of the result of one training from seed to seed.

    Returns:
        0 to 1; NaN where no band has two designs or the truth does not vary.
    """
    truth, bands = np.asarray(truth, dtype=float), np.asarray(bands)
    groups = [truth[bands == band] for band in np.unique(bands)]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(((group - group.mean()) ** 2).sum() for group in groups)
    if freedom <= 0 or squares <= 0:
        return math.nan
    noise = deviation**2 * float(np.mean(1.0 / np.asarray(seeds, dtype=float)))
    share = min(max(1.0 - noise * freedom / squares, 0.0), 1.0)
    return 2 / math.pi * math.asin(math.sqrt(share))


def apart(truth: ArrayLike, seeds: ArrayLike, deviation: float, times: float = APART) -> np.ndarray:
    """(n, n) pairs of designs whose truths differ by more than the noise of their difference makes likely.

    Args:
        truth: As for `ceiling`.
        seeds: As for `ceiling`.
        deviation: As for `ceiling`.
        times: How many deviations of the difference of two means.
    """
    truth, share = np.asarray(truth, dtype=float), 1.0 / np.asarray(seeds, dtype=float)
    limits = times * deviation * np.sqrt(share[:, None] + share[None, :])
    return np.abs(truth[:, None] - truth[None, :]) > limits
