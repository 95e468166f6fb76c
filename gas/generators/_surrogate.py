"""A Gaussian process over numbers that describe designs: what the inquisitor believes, and how sure it is.

Shapes: N designs told, T designs asked about, F features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

FITTED = 320  # designs that the hyperparameters are fitted on, at most: beyond that they change little
CHUNK = 1 << 12  # designs asked about at a time, so that their kernel stays in the cache
JITTER = 1e-6
ROOT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Hyperparameters:
    """Of the kernel; logarithms, so that they are free numbers.

    Args:
        scales: (F,) log length scales.
        signal: Log variance of what is explained.
        noise: Log variance of what is not.
    """

    scales: NDArray[np.float64]
    signal: float
    noise: float

    @classmethod
    def initial(cls, features: int) -> Hyperparameters:
        """The mode of the prior, about."""
        return cls(np.full(features, 0.5 * math.log(features) + 0.5), 0.0, -4.0)

    def vector(self) -> NDArray[np.float64]:
        """As the optimiser wants them."""
        return np.concatenate([self.scales, [self.signal, self.noise]])

    @classmethod
    def of(cls, vector: NDArray) -> Hyperparameters:
        """The inverse of `vector`."""
        return cls(np.array(vector[:-2]), float(vector[-2]), float(vector[-1]))


class Surrogate:
    """A Gaussian process with a Matern-5/2 kernel and a length scale per feature, conditioned on what was told.

    Length scales have a log-normal prior that grows with the root of the number of features, so that few designs do
    not fit many scales at will.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2 and 5.4; the prior:
    Hvarfner et al., arXiv 2402.02229. Differs: fitted on at most 320 designs; the mean is a constant.

    Args:
        features: (N, F), standardised.
        values: (N,) what was told.
        start: Where the fit of the hyperparameters begins.
        steps: Steps of that fit; 0 takes `start` as it is.
        rng: Draws the designs that they are fitted on, where there are more than that.
    """

    def __init__(
        self,
        features: NDArray[np.float64],
        values: NDArray[np.float64],
        *,
        start: Hyperparameters | None = None,
        steps: int = 40,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._mean, self._scale = float(values.mean()), float(values.std()) or 1.0
        targets = (values - self._mean) / self._scale
        self.hyperparameters = start or Hyperparameters.initial(features.shape[1])
        if steps:
            some = np.arange(len(features))
            if len(some) > FITTED:
                some = (rng or np.random.default_rng(0)).choice(len(some), FITTED, replace=False)
            # The likelihood has several peaks, and the one that few designs led to need not be the best of many.
            starts = [self.hyperparameters] + [Hyperparameters.initial(features.shape[1])] * (start is not None)
            fits = [_fitted(features[some], targets[some], begin, steps) for begin in starts]
            self.hyperparameters = min(fits, key=lambda fit: fit[1])[0]
        theta = self.hyperparameters
        self._inverse = np.exp(-theta.scales)
        self._signal, self.noise = math.exp(theta.signal), math.exp(theta.noise) * self._scale**2
        self._told = features * self._inverse
        kernel = self._signal * _matern(_squares(self._told, self._told))
        kernel[np.diag_indices(len(kernel))] += math.exp(theta.noise) + JITTER
        self._factor = cho_factor(kernel, lower=True)
        self._weights = cho_solve(self._factor, targets)

    def mean(self, features: NDArray) -> NDArray[np.float64]:
        """(T, F) -> (T,) expected values. In single precision: thousands of designs are asked about at a time."""
        told, weights = self._told.astype(np.float32), (self._signal * self._weights).astype(np.float32)
        inverse = self._inverse.astype(np.float32)
        result = np.empty(len(features))
        for first in range(0, len(features), CHUNK):
            some = features[first : first + CHUNK].astype(np.float32) * inverse
            result[first : first + CHUNK] = _matern(_squares(some, told)) @ weights
        return result * self._scale + self._mean

    def posterior(self, features: NDArray) -> Posterior:
        """(T, F) -> what is believed of these designs together."""
        asked = features * self._inverse
        cross = self._signal * _matern(_squares(self._told, asked))  # (N, T)
        half = solve_triangular(self._factor[0], cross, lower=True)
        mean = cross.T @ self._weights * self._scale + self._mean
        variance = np.maximum(self._signal - (half * half).sum(axis=0), 1e-9)
        return Posterior(asked, mean, variance, half, self._signal, self._scale, self.noise / self._scale**2)


class Posterior:
    """What is believed of some designs, and of all of them where one were known.

    Args:
        asked: (T, F) features over length scales.
        mean: (T,) expected values.
        variance: (T,) in units of the scale squared.
        half: (N, T) the kernel to what was told, over its Cholesky factor.
        signal: Variance before anything was told.
        scale: Of the values.
        noise: Variance of the noise, in units of the scale squared.
    """

    def __init__(
        self,
        asked: NDArray,
        mean: NDArray,
        variance: NDArray,
        half: NDArray,
        signal: float,
        scale: float,
        noise: float,
    ) -> None:
        self._asked, self.mean, self._variance, self._half = asked, mean, variance, half
        self._signal, self._scale, self._noise = signal, scale, noise
        self._supposed: list[NDArray] = []

    @property
    def deviation(self) -> NDArray[np.float64]:
        """(T,) standard deviations of the values without noise."""
        return np.sqrt(self._variance) * self._scale

    def suppose(self, which: int) -> None:
        """Goes on as if the expected value of one design had been told: the others nearby become surer."""
        here = self._signal * _matern(_squares(self._asked[which : which + 1], self._asked))[0]
        here -= self._half[:, which] @ self._half
        for known in self._supposed:
            here -= known[which] * known
        step = here / math.sqrt(max(here[which] + self._noise, 1e-9))
        self._supposed.append(step)
        self._variance = np.maximum(self._variance - step * step, 1e-9)


def _squares(a: NDArray, b: NDArray) -> NDArray:
    """(N, F), (T, F) -> (N, T) squared distances."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
    return np.maximum(squares, 0.0, out=squares)


def _matern(squares: NDArray) -> NDArray:
    """Correlations at squared distances."""
    far = np.sqrt(5.0 * squares, dtype=squares.dtype)
    near = np.exp(-far)
    far *= 1.0 + far / 3.0
    far += 1.0
    return np.multiply(far, near, out=far)


def _fitted(features: NDArray, targets: NDArray, start: Hyperparameters, steps: int) -> tuple[Hyperparameters, float]:
    """Hyperparameters of greatest posterior density near a start, and its negative logarithm."""
    count, width = features.shape
    middle, spread = math.sqrt(2.0) + 0.5 * math.log(width), math.sqrt(3.0)

    def loss(vector: NDArray) -> tuple[float, NDArray]:
        theta = Hyperparameters.of(vector)
        inputs = features * np.exp(-theta.scales)
        squares = _squares(inputs, inputs)
        signal, noise = math.exp(theta.signal), math.exp(theta.noise)
        explained = signal * _matern(squares)
        kernel = explained.copy()
        kernel[np.diag_indices(count)] += noise + JITTER
        factor = cho_factor(kernel, lower=True)
        weights = cho_solve(factor, targets)
        fit = 0.5 * targets @ weights + np.log(np.diag(factor[0])).sum()
        outer = cho_solve(factor, np.eye(count)) - np.outer(weights, weights)
        # d kernel / d log scale = slope * (difference over the scale) ** 2, summed over all pairs for every feature.
        far = np.sqrt(5.0 * squares)
        slope = outer * (signal * (5.0 / 3.0) * (1.0 + far) * np.exp(-far))
        each = 2.0 * (slope.sum(axis=1) @ inputs**2 - (inputs * (slope @ inputs)).sum(axis=0))
        gradient = np.concatenate([0.5 * each, [0.5 * (outer * explained).sum(), 0.5 * noise * np.trace(outer)]])
        away = (theta.scales - middle) / spread
        fit += 0.5 * (away**2).sum() + 0.5 * theta.signal**2 + 0.5 * ((theta.noise + 4.0) / 2.0) ** 2
        gradient += np.concatenate([away / spread, [theta.signal, (theta.noise + 4.0) / 4.0]])
        return fit, gradient

    bounds = [(-3.0, 9.0)] * width + [(-4.0, 4.0), (-11.0, 1.0)]
    found = minimize(loss, start.vector(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    return Hyperparameters.of(found.x), float(found.fun)
