"""The table of figures per score, on designs whose truth is made up."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gas.errors import SettingError
from gas.evidence.assessing import BASELINES, assess, recommend
from gas.evidence.combining import mean_rank, mean_z

DRAWS = 200


def table(count: int = 40, seed: int = 0, macs: tuple[float, float] = (2.7e6, 3.3e6)) -> pd.DataFrame:
    """Designs whose truth `good` tells nearly, `poor` hardly, and size not at all."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=count)
    return pd.DataFrame(
        {
            "id": [f"d{i}" for i in range(count)],
            "macs": rng.uniform(*macs, count),
            "params": rng.uniform(1e5, 2e5, count),
            "accuracy": truth,
            "good": truth + 0.1 * rng.normal(size=count),
            "poor": truth + 3.0 * rng.normal(size=count),
            "depth": rng.integers(1, 4, count),
        }
    )


def row(summary: pd.DataFrame, name: str) -> pd.Series:
    """Of one score."""
    return summary.set_index("proxy").loc[name]


def test_every_figure_of_a_score_is_there_and_right() -> None:
    given = table()
    found = assess(given, noise=0.3, resamples=DRAWS)
    assert list(found["tau_band"]) == sorted(found["tau_band"], reverse=True)
    assert set(found["proxy"]) == {"good", "poor", "log_params", "log_macs", BASELINES[2], "depth"}
    good = row(found, "good")
    assert good["tau"] == pytest.approx(stats.kendalltau(given["good"], given["accuracy"]).statistic)
    assert good["tau_band"] == pytest.approx(good["tau"])  # macs within a quarter: one band
    assert good["rho"] == pytest.approx(stats.spearmanr(given["good"], given["accuracy"]).statistic)
    for key in ("tau", "rho", "tau_band", "rho_band", "partial"):
        assert -1 <= good[f"{key}_low"] < good[key] < good[f"{key}_high"] <= 1
    assert good["tau_apart"] > good["tau_band"]
    assert good["regret"] == given["accuracy"].max() - given["accuracy"][given["good"].idxmax()]
    assert good["designs"] == 40
    assert dict(zip(found["proxy"], found["kind"], strict=True))["depth"] == "baseline"
    depth = row(found, "depth")
    assert good["over_depth"] == pytest.approx(good["tau_band"] - depth["tau_band"])
    assert good["over_depth_low"] < good["over_depth"] < good["over_depth_high"]
    assert depth["over_log_params"] == pytest.approx(-row(found, "log_params")["over_depth"])
    assert depth["over_log_params_low"] == pytest.approx(-row(found, "log_params")["over_depth_high"])
    assert math.isnan(depth["over_depth"])
    assert math.isnan(row(found, "log_params")["partial"])  # of itself nothing is left


def test_equal_seeds_give_equal_figures() -> None:
    first, again, other = (assess(table(), seed=seed, resamples=DRAWS) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert (first["tau_low"] != other["tau_low"]).any()
    assert (first["tau"] == other["tau"]).all()


def test_a_loss_counts_the_other_way_round() -> None:
    given = table()
    lost = given.assign(loss=-given["accuracy"])
    first, second = (assess(lost, truth=truth, proxies=["good"], resamples=DRAWS) for truth in ("accuracy", "loss"))
    pd.testing.assert_frame_equal(first, second)


def test_size_counts_for_nothing_within_bands() -> None:
    rng = np.random.default_rng(3)
    given = table(60, macs=(1e6, 9e6))
    given["accuracy"] = np.log(given["macs"]) + 0.001 * rng.normal(size=60)
    given["size"] = np.floor(given["macs"] / 1e6)
    found = row(assess(given, proxies=["size"], bands=[2e6, 3e6, 4e6, 5e6, 6e6, 7e6, 8e6], resamples=DRAWS), "size")
    assert found["tau"] > 0.9
    assert math.isnan(found["tau_band"])
    assert math.isnan(found["tau_band_low"])


def test_missing_scores_are_left_out_of_both_sides_of_a_comparison() -> None:
    given = table()
    given.loc[:9, "good"] = [np.nan, np.inf, -np.inf, *[np.nan] * 7]
    found = assess(given, resamples=DRAWS)
    rest = assess(given[10:], resamples=DRAWS)
    assert row(found, "good")["designs"] == 30
    for key in ("tau", "rho", "partial", "over_depth", "recall"):
        assert row(found, "good")[key] == pytest.approx(row(rest, "good")[key])


def test_combinations_and_fits_are_rows_like_others() -> None:
    given = table()
    found = assess(given, combine=[["good", "poor"]], fit=["good", "poor", "log_macs"], resamples=DRAWS)
    columns = given[["good", "poor"]].to_numpy()
    for name, way in (("mean_z(good + poor)", mean_z), ("mean_rank(good + poor)", mean_rank)):
        assert row(found, name)["tau"] == pytest.approx(stats.kendalltau(way(columns), given["accuracy"]).statistic)
        assert row(found, name)["kind"] == "combination"
    ridge = row(found, "ridge of 3 scores")
    assert ridge["kind"] == "fitted"
    assert ridge["tau"] > 0.8


def test_what_is_recommended_beats_every_baseline() -> None:
    name, reason = recommend(assess(table(), resamples=DRAWS))
    assert name == "good"
    assert "ahead of every baseline" in reason
    given = table().drop(columns="good")
    name, reason = recommend(assess(given, combine=[["poor", "log_macs"]], resamples=DRAWS))
    assert name in BASELINES
    assert "no score is surely ahead of every baseline" in reason
    assert "the highest of 1 scores is poor" in reason
    given["accuracy"] = 1.0
    assert recommend(assess(given, resamples=DRAWS))[0] == ""


def test_a_score_that_trails_one_baseline_is_not_recommended_for_beating_others() -> None:
    given = table()
    given["params"] = np.exp(given["accuracy"])
    name, reason = recommend(assess(given, resamples=DRAWS))
    assert name == "log_params"
    assert "no score is surely ahead" in reason


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"truth": "acuracy"}, "truth: got 'acuracy'; expected a column; did you mean 'accuracy'"),
        ({"proxies": ["goood"]}, "proxies: got 'goood'; expected a column; did you mean 'good'"),
        ({"combine": [["good", "por"]]}, "combine: got 'por'; .*did you mean 'poor'"),
        ({"bands": 0}, "bands: got 0"),
        ({"truth": "id"}, "id: got 'd0'; expected a column of numbers"),
    ],
)
def test_what_cannot_be_assessed_is_told(options: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        assess(table(), resamples=DRAWS, **options)


def test_too_few_designs_are_told() -> None:
    given = table(8)
    given.loc[3:, "accuracy"] = np.nan
    with pytest.raises(SettingError, match="designs: got 3 with a truth; expected 5 or more"):
        assess(given)
