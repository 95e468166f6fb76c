"""Kendall, Spearman and partial Kendall against their definitions, by pairs, bands and bootstrap samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gas.evidence.ranks import bootstrap_weights, interval, partial_tau, rho, same_band, tau_b

VALUES = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=4, max_size=12)


def by_pairs(x: np.ndarray, y: np.ndarray, bands: np.ndarray) -> float:
    """Tau-b by its definition: every pair of one band looked at once."""
    agree = untied_x = untied_y = 0
    for i in range(len(x)):
        for j in range(i):
            if bands[i] != bands[j] or math.isnan(x[i] + x[j] + y[i] + y[j]):
                continue
            untied_x += x[i] != x[j]
            untied_y += y[i] != y[j]
            agree += int(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]))
    return agree / math.sqrt(untied_x * untied_y) if untied_x * untied_y else math.nan


@settings(max_examples=40)
@given(VALUES)
def test_tau_is_its_definition_with_ties_and_within_bands(rows: list[tuple[int, int, int]]) -> None:
    x, y, bands = np.array(rows, dtype=float).T
    bands = bands % 2
    one = np.zeros(len(x))
    assert float(tau_b(x, y)) == pytest.approx(by_pairs(x, y, one), nan_ok=True)
    assert float(tau_b(x, y, pairs=same_band(one))) == pytest.approx(by_pairs(x, y, one), nan_ok=True)
    assert float(tau_b(x, y, pairs=same_band(bands))) == pytest.approx(by_pairs(x, y, bands), nan_ok=True)


@settings(max_examples=40)
@given(VALUES)
def test_unknown_values_take_their_pairs_along_and_nothing_else(rows: list[tuple[int, int, int]]) -> None:
    x, y, bands = np.array(rows, dtype=float).T
    x[0] = np.nan
    one = np.zeros(len(x))
    assert float(tau_b(x, y)) == pytest.approx(by_pairs(x[1:], y[1:], one[1:]), nan_ok=True)
    assert float(tau_b(x, y, pairs=same_band(bands))) == pytest.approx(by_pairs(x, y, bands), nan_ok=True)
    assert float(rho(x, y, bands=one)) == pytest.approx(float(rho(x[1:], y[1:])), nan_ok=True)


def test_the_values_of_scipy_on_one_band_of_many_designs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.integers(0, 6, size=40).astype(float)
    one = np.zeros(40)
    assert float(tau_b(x, y, pairs=same_band(one))) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert float(rho(x, y, bands=one)) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_spearman_in_bands_is_the_correlation_of_centred_ranks() -> None:
    rng = np.random.default_rng(1)
    bands = np.repeat([0, 1, 2], [7, 12, 5])
    x, y = rng.integers(0, 5, size=24).astype(float), rng.normal(size=24)
    ranks = np.zeros((2, 24))
    for row, values in zip(ranks, (x, y), strict=True):
        for band in range(3):
            found = stats.rankdata(values[bands == band])
            row[bands == band] = found - found.mean()
    expected = (ranks[0] * ranks[1]).sum() / math.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    assert float(rho(x, y, bands=bands)) == pytest.approx(expected, abs=1e-12)


def test_a_weight_is_a_design_that_often() -> None:
    rng = np.random.default_rng(2)
    x, y, bands = rng.normal(size=15), rng.integers(0, 5, size=15).astype(float), rng.integers(0, 2, size=15)
    z = rng.normal(size=15)
    weights = bootstrap_weights(15, 8, seed=3)
    taus, rhos = tau_b(x, y, weights=weights), rho(x, y, weights=weights)
    banded = tau_b(x, y, pairs=same_band(bands), weights=weights)
    partials = partial_tau(x, y, [z], weights=weights)
    for row, counts in enumerate(weights):
        drawn = np.repeat(np.arange(15), counts.astype(int))
        assert taus[row] == pytest.approx(stats.kendalltau(x[drawn], y[drawn]).statistic, abs=1e-12)
        assert rhos[row] == pytest.approx(stats.spearmanr(x[drawn], y[drawn]).statistic, abs=1e-12)
        assert banded[row] == pytest.approx(by_pairs(x[drawn], y[drawn], bands[drawn]), abs=1e-12)
        assert partials[row] == pytest.approx(float(partial_tau(x[drawn], y[drawn], [z[drawn]])), abs=1e-9)


def test_partial_kendall_by_kendalls_formula_one_variable_after_another() -> None:
    rng = np.random.default_rng(4)
    z, w = rng.normal(size=30), rng.normal(size=30)
    x, y = z + rng.normal(size=30), z - w + rng.normal(size=30)
    tau = {a + b: float(tau_b(p, q)) for a, p in zip("xyzw", (x, y, z, w), strict=True) for b, q in
           zip("xyzw", (x, y, z, w), strict=True)}  # fmt: skip

    def given_z(a: str, b: str) -> float:
        return (tau[a + b] - tau[a + "z"] * tau[b + "z"]) / math.sqrt((1 - tau[a + "z"] ** 2) * (1 - tau[b + "z"] ** 2))

    assert float(partial_tau(x, y, [z])) == pytest.approx(given_z("x", "y"), abs=1e-12)
    top = given_z("x", "y") - given_z("x", "w") * given_z("y", "w")
    expected = top / math.sqrt((1 - given_z("x", "w") ** 2) * (1 - given_z("y", "w") ** 2))
    assert float(partial_tau(x, y, [z, w])) == pytest.approx(expected, abs=1e-12)
    assert float(partial_tau(x, y, [z, w, 2 * w + 1])) == pytest.approx(expected, abs=1e-9)  # redundant


def test_what_cannot_be_told_is_nan() -> None:
    x, y = np.arange(6.0), np.arange(6.0)[::-1].copy()
    assert float(tau_b(x, y)) == pytest.approx(-1.0)
    for same in (np.ones(6), np.full(6, np.nan)):
        assert math.isnan(tau_b(same, y))
        assert math.isnan(rho(x, same))
        assert math.isnan(partial_tau(same, y, [x]))
    assert math.isnan(tau_b(x, y, pairs=same_band(np.arange(6))))
    assert math.isnan(partial_tau(x, y, [2 * x]))  # nothing of x is left
    assert float(partial_tau(x, y, [np.ones(6)])) == pytest.approx(-1.0)  # what does not vary holds nothing fixed
    assert all(map(math.isnan, interval(np.array([0.5] * 80 + [np.nan] * 20))))
    assert interval(np.array([0.5] * 95 + [np.nan] * 5)) == (0.5, 0.5)


def test_bootstrap_samples_follow_from_the_seed() -> None:
    first, again, other = (bootstrap_weights(9, 50, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert (first.sum(axis=1) == 9).all()


def test_intervals_cover_the_true_kendall_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    truth, inside = 2 / math.pi * math.asin(0.6), 0
    for trial in range(200):
        x = rng.normal(size=40)
        y = 0.6 * x + 0.8 * rng.normal(size=40)
        low, high = interval(tau_b(x, y, weights=bootstrap_weights(40, 200, trial)))
        inside += low <= truth <= high
    assert 0.88 <= inside / 200 <= 0.99
