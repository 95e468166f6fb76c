"""The noise of a truth, from designs trained with several seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gas.evidence.noise import apart, ceiling, noise_of
from gas.evidence.ranks import tau_b


def trained(spread: float, noise: float, designs: int, seeds: int, seed: int = 0) -> np.ndarray:
    """(designs, seeds) results."""
    rng = np.random.default_rng(seed)
    return rng.normal(scale=spread, size=(designs, 1)) + rng.normal(scale=noise, size=(designs, seeds))


def test_the_deviation_is_that_of_an_analysis_of_variance() -> None:
    results = trained(2.0, 1.0, 12, 3)
    found = noise_of({str(i): list(row) for i, row in enumerate(results)})
    between, within = 3 * results.mean(axis=1).var(ddof=1), results.var(axis=1, ddof=1).mean()
    assert found.deviation == pytest.approx(math.sqrt(within))
    assert stats.f_oneway(*results).statistic == pytest.approx(between / within)
    assert found.reliability == pytest.approx((between - within) / (between + 2 * within))  # ICC(1, 1)
    taus = [stats.kendalltau(results[:, i], results[:, j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.between == pytest.approx(np.mean(taus))
    assert (found.designs, found.trainings) == (12, 36)


def test_designs_trained_once_do_not_count_and_few_tell_nothing() -> None:
    results = {str(i): list(row) for i, row in enumerate(trained(2.0, 1.0, 5, 2))}
    assert noise_of(results | {"once": [1e6]}) == noise_of(results)
    assert noise_of(dict(list(results.items())[:2])) is None
    assert noise_of({"a": [1.0], "b": [2.0], "c": [3.0]}) is None


def test_what_is_found_is_what_was_put_in() -> None:
    found = noise_of({str(i): list(row) for i, row in enumerate(trained(2.0, 1.0, 4000, 3))})
    assert found.deviation == pytest.approx(1.0, rel=0.03)
    assert found.reliability == pytest.approx(0.8, abs=0.02)


def test_the_ceiling_is_what_a_score_that_knows_the_mean_over_seeds_reaches() -> None:
    rng = np.random.default_rng(1)
    known = rng.normal(scale=2.0, size=1500) + np.repeat([0.0, 50.0], 750)
    seeds = np.repeat([1, 3], [1000, 500])
    truth = known + rng.normal(size=1500) / np.sqrt(seeds)
    bands = np.repeat([0, 1], 750)
    reached = float(tau_b(known, truth, pairs=bands[:, None] == bands[None, :]))
    assert ceiling(truth, seeds, bands, 1.0) == pytest.approx(reached, abs=0.02)
    assert ceiling(truth, seeds, bands, 0.0) == 1.0
    assert ceiling(truth, seeds, bands, 99.0) == 0.0
    assert math.isnan(ceiling([1.0, 2.0], [1, 1], [0, 1], 0.1))


def test_pairs_that_are_apart_differ_by_twice_the_noise_of_their_difference() -> None:
    truth, seeds = np.array([0.0, 2.7, 2.9, 9.0]), np.array([1, 1, 1, 4])
    found = apart(truth, seeds, 1.0)
    assert not found[0, 1]  # 2.7 against 2 * sqrt(2)
    assert found[0, 2]
    assert (found == found.T).all()
    assert apart([0.0, 2.3], [1, 4], 1.0)[0, 1]  # 2 * sqrt(1.25)
    assert not apart([0.0, 2.2], [1, 4], 1.0)[0, 1]
