"""Latency of a design from the latencies of its pieces, corrected for what their sum misses, with an interval.

The sum over pieces measured alone is off in ways that whole designs show: weights that a piece alone finds in the
cache, time per call, engines that fuse across the border of two pieces. All of these are themselves sums over pieces,
so the correction is a linear one: per piece, its milliseconds times a factor of its kind, plus something for each
piece, each parameter and each number read. So a predicted latency stays a sum, and whatever is known of sums over a
space (least cost of what is undecided, millions of designs at once) holds for it.

The factors are learned by ridge regression from few dozen designs that were measured whole: relative errors count, the
correction is drawn towards none, how strongly is chosen by leaving one out. The interval is conformal: quantiles of the
errors of leaving one out (jackknife; Barber et al., arXiv 1905.02928, section 1.2), so no shape of errors is assumed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gas.costs.pieces import Piece

COVERAGE = 0.9  # of the interval
STRENGTHS = np.geomspace(1e-3, 1e3, 25)  # of the ridge, in units of one design
LEAST = 0.2  # no piece is told as less than this share of its time alone, however few designs spoke of its kind
OTHERS = ("pieces", "params", "inputs")


@dataclass(frozen=True)
class Prediction:
    """A predicted latency.

    Args:
        ms: Milliseconds for one batch.
        low: Lower end of the 90% interval of what would be measured.
        high: Upper end.
    """

    ms: float
    low: float
    high: float


@dataclass(frozen=True)
class Correction:
    """What makes the latency of a design out of those of its pieces.

    Args:
        scale: Factor on every piece's milliseconds.
        kinds: What is added to the factor for pieces of a kind; 0 for others.
        pieces: Milliseconds per piece.
        params: Milliseconds per parameter.
        inputs: Milliseconds per number of one input.
        low: Lower end of the interval, as a share of the prediction.
        high: Upper end.
        strength: Of the ridge.
    """

    scale: float = 1.0
    kinds: Mapping[str, float] = field(default_factory=dict)
    pieces: float = 0.0
    params: float = 0.0
    inputs: float = 0.0
    low: float = 1.0
    high: float = 1.0
    strength: float = 0.0

    def __call__(self, piece: Piece, ms: float) -> float:
        """What a piece that takes `ms` alone adds to a design's latency."""
        corrected = ms * (self.scale + self.kinds.get(piece.kind, 0.0)) + self.pieces
        corrected += self.params * piece.cost.params + self.inputs * math.prod(piece.shape)
        return max(corrected, LEAST * ms)

    def interval(self, ms: float) -> Prediction:
        """A predicted sum with its interval."""
        return Prediction(ms, ms * self.low, ms * self.high)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Fit:
    """A correction and how well it does on the designs that it was learned from.

    Args:
        correction: What was learned.
        predicted: (n,) milliseconds of each design as predicted without it, which is what is fair to judge by.
        sums: (n,) plain sums over the pieces.
    """

    correction: Correction
    predicted: NDArray[np.float64]
    sums: NDArray[np.float64]


def fit(designs: Sequence[Iterable[tuple[Piece, float]]], measured: Sequence[float]) -> Fit:
    """Learns a correction.

    Args:
        designs: Per design, its pieces with their milliseconds alone, as often as they run.
        measured: Milliseconds of each whole design; at least 8 of them.
    """
    runs = [list(pieces) for pieces in designs]
    kinds = sorted({piece.kind for pieces in runs for piece, _ in pieces})
    sums = np.array([sum(ms for _, ms in pieces) for pieces in runs])
    columns = np.array([_columns(pieces, kinds) for pieces in runs]) / sums[:, None]
    ratios = np.asarray(measured) / sums
    # Each column in units of its usual size, so that one strength means the same for all.
    size = np.sqrt((columns**2).mean(axis=0))
    scaled = columns / np.where(size > 0, size, 1.0)
    tried = [(strength, _left_out(scaled, ratios, strength)) for strength in STRENGTHS]
    strength, left_out = min(tried, key=lambda found: _error(ratios, found[1]))
    scale, weights = _ridge(scaled, ratios, strength)
    weights = weights / np.where(size > 0, size, 1.0)
    low, high = _interval(ratios / left_out)
    others = dict(zip(OTHERS, map(float, weights[len(kinds) :]), strict=True))
    named = dict(zip(kinds, map(float, weights), strict=False))
    correction = Correction(float(scale), named, **others, low=low, high=high, strength=float(strength))
    return Fit(correction, left_out * sums, sums)


def _columns(pieces: list[tuple[Piece, float]], kinds: list[str]) -> list[float]:
    """Of one design: milliseconds per kind, number of pieces, parameters, numbers read."""
    times: defaultdict[str, float] = defaultdict(float)
    for piece, ms in pieces:
        times[piece.kind] += ms
    params = sum(piece.cost.params for piece, _ in pieces)
    inputs = sum(math.prod(piece.shape) for piece, _ in pieces)
    return [*(times[kind] for kind in kinds), len(pieces), params, inputs]


def _ridge(columns: NDArray, ratios: NDArray, strength: float) -> tuple[float, NDArray]:
    """Factor and weights that minimise squared errors + strength x squared weights; the factor is not drawn to 0."""
    middle, mean = columns.mean(axis=0), ratios.mean()
    centred = columns - middle
    gram = centred.T @ centred + strength * np.eye(columns.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (ratios - mean))
    return float(mean - middle @ weights), weights


def _left_out(columns: NDArray, ratios: NDArray, strength: float) -> NDArray:
    """(n,) each ratio as predicted from the others."""
    result = np.empty(len(ratios))
    for i in range(len(ratios)):
        others = np.arange(len(ratios)) != i
        scale, weights = _ridge(columns[others], ratios[others], strength)
        result[i] = scale + columns[i] @ weights
    return result


def _error(ratios: NDArray, predicted: NDArray) -> float:
    """Mean squared relative error; infinite where something is predicted to take no time."""
    return float(np.mean((ratios / predicted - 1) ** 2)) if (predicted > 0).all() else math.inf


def _interval(ratios: NDArray) -> tuple[float, float]:
    """Ends between which the next of exchangeable ratios falls with COVERAGE; the outermost ones where n is small."""
    n = len(ratios)
    ordered = np.sort(ratios)
    reach = (1 - COVERAGE) / 2 * (n + 1)  # of n + 1 equally likely places, this many on either side
    low, high = max(math.floor(reach), 1), min(math.ceil(n + 1 - reach), n)
    return float(ordered[low - 1]), float(ordered[high - 1])
