"""A Gaussian process from what a network is to its published top-1, with a family's own offset as part of its error.

Shapes: n networks of the fit, m to predict, L linear inputs, S smooth inputs, F families.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = NDArray[np.float64]

FLAGS: dict[str, Callable[[str], bool]] = {
    # What all stronger recipes have in common is shared, so that a family trained in a way of its own lends it too.
    "stronger": lambda recipe: recipe != "plain",
    "distilled": lambda recipe: recipe == "distilled",
    "long": lambda recipe: recipe == "long",
    "pretrained": lambda recipe: recipe == "pretrained",
}
LEVEL = 0.9
MEANS = np.log([0.5, 0.4, 2.0, 0.3, 0.3])  # linear, smooth, length, family, noise: where their logarithms are expected
SPREADS = np.array([1.0, 1.0, 0.5, 0.7, 0.7])
FREE = 10.0  # variance of the mean, which is as good as not known


@dataclass(frozen=True)
class Prediction:
    """Top-1 of networks, percent: the median, and an interval that holds LEVEL of new families. All (m,)."""

    top1: Array
    low: Array
    high: Array


def inputs(structures: Sequence[Mapping[str, float]], names: Sequence[str]) -> Array:
    """(n, len(names)): shares as they are, counts as logarithms, `macs_stride` and `params_stride` as the mean log2
    of the stride over macs or weights."""
    columns = []
    for name in names:
        what, _, stride = name.partition("_")
        if stride == "stride":
            value = [sum(math.log2(s) * one[f"{what}_{s}"] for s in (4, 8, 16, 32)) for one in structures]
        elif name in ("dense", "grouped", "pointwise", "attention"):
            value = [one[name] for one in structures]
        else:
            value = [math.log(one[name]) for one in structures]
        columns.append(value)
    return np.array(columns, dtype=float).T.reshape(len(structures), len(names))


def flags(recipes: Sequence[str]) -> Array:
    """(n, len(FLAGS)) of 0 and 1."""
    return np.array([[float(told(recipe)) for told in FLAGS.values()] for recipe in recipes])


@dataclass(eq=False)
class Regressor:
    """-log(100 - top1) = linear in sizes and recipe + smooth in structure + offset of the family + noise.

    In the logarithm of the error, a family departs as much among small networks as among large ones; in points, small
    ones then depart more, as they do. A network asked about belongs to a family of its own, so that its offset is part
    of the error; the smooth part returns to the linear one far from all known networks, and the error grows.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, chapters 2 and 5: the strengths of the
    parts are those of greatest likelihood, here with a log-normal prior on each. The interval is widened or narrowed by
    one factor so that it holds LEVEL of the known networks, each predicted without its family (conformal calibration,
    families weighing alike).

    Args:
        linear: (n, L), recipe included.
        smooth: (n, S).
        families: n names.
        top1: (n,), percent.
        logarithm: False to model top-1 itself.
        strengths: Five logarithms to use instead of the likeliest.
    """

    linear: Array
    smooth: Array
    families: Sequence[str]
    top1: Array
    logarithm: bool = True
    strengths: Array | None = None
    factor: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        # A recipe that no network of the fit has must not count as a huge step, nor a share that hardly varies.
        least = zip((self.linear, self.smooth), (0.5, 0.1), strict=True)
        self._scales = [(part.mean(0), np.maximum(part.std(0), floor)) for part, floor in least]
        target = self._in(self.top1)
        self._centre, self._spread = target.mean(), target.std()
        self._target = (target - self._centre) / self._spread
        names = np.array(self.families)
        self._kin = (names[:, None] == names[None]).astype(float)
        self._own = self._placed(self.linear, self.smooth)
        self._parts = self._between(self._own, self._own)
        if self.strengths is None:
            bounds = list(zip(MEANS - 3, MEANS + 3, strict=True))
            self.strengths = minimize(self._unlikely, MEANS, jac=True, method="L-BFGS-B", bounds=bounds).x
        self._inverse = np.linalg.inv(self._covariance(self.strengths))
        self._weights = self._inverse @ self._target
        mean, deviation = self._without_families()
        self.factor = self._calibrated(np.abs(self._target - mean) / deviation)

    def predict(self, linear: Array, smooth: Array) -> Prediction:
        """For networks of families that are not known; (m, L) and (m, S)."""
        placed = self._placed(linear, smooth)
        products, near = self._between(placed, self._own)
        s_linear, s_smooth, length, family, noise = np.exp(2 * self.strengths)
        cross = s_linear * products + FREE + s_smooth * np.exp(-near / (2 * length))
        own = s_linear * (placed[0] ** 2).sum(1) + FREE + s_smooth + family + noise
        variance = own - np.einsum("ij,jk,ik->i", cross, self._inverse, cross)
        return self._prediction(cross @ self._weights, np.sqrt(variance))

    def left_out(self) -> Prediction:
        """For the known networks, each from those of other families alone; strengths and factor as fitted to all."""
        return self._prediction(*self._without_families())

    def distances(self, smooth: Array, *, families: Sequence[str] | None = None) -> Array:
        """(m, S) -> (m, n): root mean square of the standardised inputs' differences from the known networks.

        Args:
            smooth: Of the networks.
            families: Of the networks; the known ones of the same family are then infinitely far.
        """
        _, near = self._between(self._placed(np.zeros((len(smooth), self.linear.shape[1])), smooth), self._own)
        found = np.sqrt(near)
        if families is not None:
            found[np.array(families)[:, None] == np.array(self.families)[None]] = np.inf
        return found

    def _in(self, top1: Array) -> Array:
        return -np.log(100.0 - top1) if self.logarithm else top1

    def _out(self, target: Array) -> Array:
        found = target * self._spread + self._centre
        return 100.0 - np.exp(-found) if self.logarithm else found

    def _prediction(self, mean: Array, deviation: Array) -> Prediction:
        half = deviation * self.factor
        return Prediction(self._out(mean), self._out(mean - half), self._out(mean + half))

    def _placed(self, linear: Array, smooth: Array) -> list[Array]:
        return [(part - m) / s for part, (m, s) in zip((linear, smooth), self._scales, strict=True)]

    @staticmethod
    def _between(left: Sequence[Array], right: Sequence[Array]) -> tuple[Array, Array]:
        """Inner products of the linear inputs, mean squared differences of the smooth ones."""
        wide = max(left[1].shape[1], 1)
        return left[0] @ right[0].T, ((left[1][:, None] - right[1][None]) ** 2).sum(-1) / wide

    def _covariance(self, strengths: Array) -> Array:
        s_linear, s_smooth, length, family, noise = np.exp(2 * strengths)
        products, near = self._parts
        known = s_linear * products + FREE + s_smooth * np.exp(-near / (2 * length)) + family * self._kin
        return known + noise * np.eye(len(near))

    def _unlikely(self, strengths: Array) -> tuple[float, Array]:
        """Minus the logarithm of likelihood and prior, and its gradient."""
        s_linear, s_smooth, length, family, noise = np.exp(2 * strengths)
        products, near = self._parts
        factor = cho_factor(self._covariance(strengths), lower=True)
        weights = cho_solve(factor, self._target)
        sheet = cho_solve(factor, np.eye(len(near))) - np.outer(weights, weights)
        bump = s_smooth * np.exp(-near / (2 * length))
        slopes = (s_linear * products, bump, bump * near / (2 * length), family * self._kin, noise * np.eye(len(near)))
        gradient = np.array([np.sum(sheet * slope) for slope in slopes])  # of exp(2 s), halved twice
        away = (strengths - MEANS) / SPREADS
        value = 0.5 * self._target @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * away @ away
        return value, gradient + away / SPREADS

    def _without_families(self) -> tuple[Array, Array]:
        """Means and deviations of the known networks' targets, each family predicted from the others.

        Source: the block form of Rasmussen and Williams, equation 5.12. What is left out has no offset in common with
        what is kept, and its own is in its error.
        """
        mean, deviation = np.zeros(len(self._target)), np.zeros(len(self._target))
        for family in dict.fromkeys(self.families):
            own = np.flatnonzero(np.array(self.families) == family)
            block = np.linalg.inv(self._inverse[np.ix_(own, own)])
            mean[own] = self._target[own] - block @ self._weights[own]
            deviation[own] = np.sqrt(np.diag(block))
        return mean, deviation

    def _calibrated(self, scores: Array) -> float:
        """The least score that LEVEL of the networks stay below, where every family has the same weight, plus one
        unseen family that may stay below none."""
        counts = {family: self.families.count(family) for family in set(self.families)}
        weights = np.array([1 / counts[family] for family in self.families])
        order = np.argsort(scores)
        reached = np.cumsum(weights[order]) / (len(counts) + 1)
        return float(scores[order][min(np.searchsorted(reached, LEVEL), len(scores) - 1)])
