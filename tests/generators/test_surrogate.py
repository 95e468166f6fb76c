"""The Gaussian process against scikit-learn's, its gradient against differences, and what supposing does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from gas.generators import _surrogate
from gas.generators._surrogate import FITTED, JITTER, Hyperparameters, Surrogate

THETA = Hyperparameters(np.log([0.7, 1.9, 4.0]), math.log(1.3), math.log(0.05))


def data(count: int, seed: int = 0, noise: float = 0.1) -> tuple[NDArray, NDArray]:
    """Designs of three features, of which the last says nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 3))
    return features, 70 + 5 * np.sin(features[:, 0]) + 2 * features[:, 1] + noise * rng.normal(size=count)


def reference(features: NDArray, values: NDArray, theta: Hyperparameters) -> GaussianProcessRegressor:
    """The same process by scikit-learn, for standardised values."""
    kernel = ConstantKernel(math.exp(theta.signal)) * Matern(np.exp(theta.scales), nu=2.5)
    noise = math.exp(theta.noise) + JITTER
    return GaussianProcessRegressor(kernel + WhiteKernel(noise), alpha=0, optimizer=None).fit(features, values)


def test_mean_and_deviation_are_those_of_scikit_learn() -> None:
    features, values = data(60)
    asked = data(200, 1)[0] * 2
    middle, scale = values.mean(), values.std()
    theirs = reference(features, (values - middle) / scale, THETA)
    mean, covariance = theirs.predict(asked, return_cov=True)
    variance = np.diag(covariance) - math.exp(THETA.noise) - JITTER  # of the values without noise
    ours = Surrogate(features, values, start=THETA, steps=0)
    posterior = ours.posterior(asked)
    np.testing.assert_allclose(posterior.mean, mean * scale + middle, rtol=1e-9)
    np.testing.assert_allclose(posterior.deviation, np.sqrt(variance) * scale, rtol=1e-6)
    assert ours.noise == pytest.approx(math.exp(THETA.noise) * scale**2)
    np.testing.assert_allclose(ours.mean(asked), posterior.mean, atol=2e-4 * scale)  # single precision
    assert posterior.deviation.max() > 2 * posterior.deviation.min()


def test_supposing_a_value_is_refitting_with_it() -> None:
    features, values = data(40)
    asked = data(50, 2)[0]
    posterior = Surrogate(features, values, start=THETA, steps=0).posterior(asked)
    mean, before = posterior.mean.copy(), posterior.deviation
    middle, scale = values.mean(), values.std()
    told, targets = features, (values - middle) / scale
    for which in (7, 31, 7):  # the last one a second time, as noise allows
        posterior.suppose(which)
        expected = Surrogate(told, targets * scale + middle, start=THETA, steps=0).posterior(asked).mean[which]
        told = np.concatenate([told, asked[which : which + 1]])
        targets = np.append(targets, (expected - middle) / scale)
        theirs = reference(told, targets, THETA)
        _, covariance = theirs.predict(asked, return_cov=True)
        variance = np.diag(covariance) - math.exp(THETA.noise) - JITTER
        np.testing.assert_allclose(posterior.deviation, np.sqrt(variance) * scale, rtol=1e-3)
        np.testing.assert_array_equal(posterior.mean, mean)
        assert (posterior.deviation <= before + 1e-12).all()
    assert posterior.deviation[7] < 0.7 * before[7]


def test_the_gradient_of_the_fit_is_the_slope_of_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    features, values = data(30)
    seen: list = []

    def watch(loss: object, start: NDArray, **how: object) -> OptimizeResult:
        seen.append((loss, how["bounds"]))
        return OptimizeResult(x=start, fun=0.0)

    monkeypatch.setattr(_surrogate, "minimize", watch)
    Surrogate(features, values, steps=5)
    loss, bounds = seen[0]
    rng = np.random.default_rng(0)
    for _ in range(5):
        at = np.clip(THETA.vector() + rng.normal(0, 0.7, 5), *np.transpose(bounds))
        gradient = loss(at)[1]
        assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], at) < 1e-4 * np.linalg.norm(gradient) + 1e-4


def test_the_loss_is_the_posterior_density(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a constant: scikit-learn's likelihood, a normal prior on each log scale, signal and noise."""
    features, values = data(30)
    found: list = []
    monkeypatch.setattr(
        _surrogate, "minimize", lambda loss, start, **how: found.append(loss) or OptimizeResult(x=start, fun=0.0)
    )
    Surrogate(features, values, steps=5)
    targets = (values - values.mean()) / values.std()

    def density(theta: Hyperparameters) -> float:
        likelihood = reference(features, targets, theta).log_marginal_likelihood_value_
        width, spread = math.sqrt(2) + math.log(3) / 2, math.sqrt(3)
        prior = -0.5 * (((theta.scales - width) / spread) ** 2).sum()
        return likelihood + prior - 0.5 * theta.signal**2 - 0.5 * ((theta.noise + 4) / 2) ** 2

    others = [Hyperparameters(THETA.scales + 0.3, -0.2, -5.0), Hyperparameters(-THETA.scales, 0.9, -2.0)]
    for other in others:
        ours = found[0](other.vector())[0] - found[0](THETA.vector())[0]
        assert ours == pytest.approx(density(THETA) - density(other), rel=1e-6)


def test_a_fit_finds_what_matters_and_how_much_noise_there_is() -> None:
    features, values = data(250, noise=0.5)
    ours = Surrogate(features, values, steps=80)
    scales = ours.hyperparameters.scales
    assert scales[2] > scales[:2].max() + 0.5  # the idle feature has the longest scale
    assert 0.3 < math.sqrt(ours.noise) < 0.7
    asked, truth = data(300, 3, noise=0.0)
    posterior = ours.posterior(asked)
    assert np.sqrt(((posterior.mean - truth) ** 2).mean()) < 0.25 * truth.std()
    z = (truth - posterior.mean) / posterior.deviation
    assert 0.5 < z.std() < 1.6


def test_many_designs_are_fitted_on_some_of_them_and_the_same_seed_fits_the_same() -> None:
    features, values = data(FITTED + 80)
    first, again, other = (
        Surrogate(features, values, steps=6, rng=np.random.default_rng(seed)).hyperparameters.vector()
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_equal_values_two_designs_and_none_asked_about() -> None:
    flat = Surrogate(np.zeros((5, 2)), np.full(5, 3.0))
    np.testing.assert_allclose(flat.posterior(np.ones((2, 2))).mean, 3.0)
    two = Surrogate(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
    assert two.mean(np.array([[0.0]])) < two.mean(np.array([[1.0]]))
    assert two.mean(np.zeros((0, 1))).shape == (0,)
    assert two.posterior(np.zeros((0, 1))).deviation.shape == (0,)
    assert Hyperparameters.of(THETA.vector()).vector().tolist() == THETA.vector().tolist()


def test_fresh_designs_have_the_prior_far_from_all_that_was_told() -> None:
    features, values = data(40)
    far = Surrogate(features, values, start=THETA, steps=0).posterior(np.full((1, 3), 1e4))
    np.testing.assert_allclose(far.mean, values.mean())
    np.testing.assert_allclose(far.deviation, math.exp(THETA.signal / 2) * values.std())
