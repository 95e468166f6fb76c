"""Means of scores, and the regression that may not see what it scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from gas.evidence.combining import ALPHAS, fitted, mean_rank, mean_z, name_of
from gas.evidence.ranks import tau_b


def test_means_by_hand() -> None:
    columns = np.array([[1.0, 30.0, 7.0], [2.0, 10.0, 7.0], [3.0, 20.0, 7.0], [9.0, np.nan, 7.0]])
    assert mean_rank(columns)[:3] == pytest.approx([2.0, 5 / 3, 7 / 3])
    deviation = np.sqrt(2 / 3)
    assert mean_z(columns)[:3] == pytest.approx([0.0, -1 / deviation / 3, 1 / deviation / 3])
    assert np.isnan([mean_rank(columns)[3], mean_z(columns)[3]]).all()
    assert np.isnan(mean_z([[np.nan], [np.nan]])).all()
    assert name_of("mean_z", "ab") == "mean_z(a + b)"
    assert name_of("mean_z", "abcd") == "mean_z of 4 scores"


def test_the_ridge_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(20, 4)) * [1, 10, 100, 0.1]
    truth = columns @ [1, 0.2, 0, 3] + rng.normal(size=20)
    found = fitted(columns, truth, folds=20, repeats=1)  # leaving out one: no matter in which order
    for out in range(20):
        rest = np.arange(20) != out
        scale = StandardScaler().fit(columns[rest])
        model = RidgeCV(alphas=ALPHAS).fit(scale.transform(columns[rest]), truth[rest])
        assert found[out] == pytest.approx(model.predict(scale.transform(columns[[out]]))[0] - truth[rest].mean())


def test_no_design_is_scored_by_a_fit_that_saw_it() -> None:
    rng = np.random.default_rng(1)
    columns, truth = rng.normal(size=(30, 3)), rng.normal(size=30)
    before = fitted(columns, truth)
    for design in (0, 17):
        other = truth.copy()
        other[design] += 100.0
        after = fitted(columns, other)
        assert after[design] == before[design]
        assert (after != before).sum() == 29


def test_a_fit_to_chance_tells_nothing_and_not_the_reverse() -> None:
    rng = np.random.default_rng(2)
    taus = []
    for _ in range(20):
        columns, truth = rng.normal(size=(30, 3)), rng.normal(size=30)
        taus.append(float(tau_b(fitted(columns, truth, repeats=3), truth)))
    assert abs(np.mean(taus)) < 3 * np.std(taus) / np.sqrt(20)
    assert np.mean(taus) > -0.1


def test_a_fit_to_something_tells_it_and_skips_what_is_missing() -> None:
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(40, 3))
    truth = columns @ [1.0, -2.0, 0.0] + 0.1 * rng.normal(size=40)
    columns[5, 1], truth[6] = np.nan, np.nan
    found = fitted(columns, truth)
    assert list(np.flatnonzero(np.isnan(found))) == [5, 6]
    known = np.isfinite(found)
    assert stats.kendalltau(found[known], truth[known]).statistic > 0.9
    assert np.isnan(fitted(columns[:4], truth[:4])).all()
    assert (fitted(np.ones((8, 1)), np.arange(8.0)) == 0).all()


def test_a_family_is_never_fitted_by_its_own() -> None:
    """Scores that name a family and say nothing else: kin in the fit make them look as if they told the truth."""
    rng = np.random.default_rng(0)
    families = np.repeat(np.arange(24), 4)
    columns, truth = rng.normal(size=(24, 16))[families], rng.normal(size=24)[families]
    alone, apart = (fitted(columns, truth, families=given, repeats=3) for given in (None, families))
    assert float(tau_b(alone, truth)) > 0.5
    assert float(tau_b(apart, truth)) < 0.2
    for left in range(3):
        other = truth + 100.0 * (families == left)
        found = [fitted(columns, t, families=families, folds=24, repeats=1)[families == left] for t in (truth, other)]
        assert np.allclose(*found)
    assert np.isnan(fitted(columns, truth, families=np.zeros(96))).all()
