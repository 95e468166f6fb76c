"""The rules of choice, against sums written out and integrals done by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gas.choosing import Columns, marginal_utility, pick, scaled, weighted
from gas.choosing.fronts import by_knees, by_weights, objectives_of, ordered
from gas.errors import RunError, SettingError
from gas.evaluation import Objective
from gas.pareto import knee

OBJECTIVES = (Objective("score", maximise=True), Objective("macs"))


def front(verified: tuple[bool, ...] = (True,) * 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": pd.Series(list("abcd"), dtype="str"),
            "number": [7, 3, 5, 1],
            "origin": pd.Series(["random"] * 4, dtype="str"),
            "macs": pd.array([100, 60, 30, 20], dtype="Int64"),
            "latency_ms": [1.0, math.nan, 3.0, 2.0],
            "score": [10.0, 9.0, 4.0, 2.0],
            "other": [1.0, 4.0, math.nan, 3.0],
            "verified": verified,
        }
    )


def picked(rule: str, table: pd.DataFrame | None = None, **options: object) -> tuple[str, str]:
    table = front() if table is None else table
    found = pick(rule, table, OBJECTIVES, Columns(table, {}, OBJECTIVES), **options)
    return table["id"][found.row], found.reason


def test_reasons_hold_the_numbers_that_decided() -> None:
    assert picked("best") == (
        "a",
        "a (candidate 7): the highest score on the front among designs that meet every constraint as measured: 10; "
        "next is b with 9",
    )
    assert picked("checked", check="other") == (
        "b",
        "b (candidate 3): the highest other among designs of the front that meet every constraint as measured: 4; "
        "next is d with 3",
    )
    # Scaled: score a 0, b 1/8, c 6/8, d 1; macs a 1, b 1/2, c 1/8, d 0.
    assert picked("knee") == (
        "b",
        "b (candidate 3): the knee of the front: the least sum of objectives, each scaled to the front's range: "
        "0.625 = score 0.125 + macs 0.500; next is c with 0.875",
    )
    assert picked("weights", weights={"score": 0.5, "macs": 2}) == (
        "d",
        "d (candidate 1): the least sum of weight x metric, each scaled to the front's range (0 best, 1 worst): "
        "0.5 = 0.5 x score 1.000 + 2 x macs 0.000; next is c with 0.625",
    )


def test_designs_that_hold_as_measured_come_first() -> None:
    id, reason = picked("best", front((False, True, False, True)))
    assert id == "b"
    assert reason.endswith(": 9; next is d with 2")
    id, reason = picked("best", front((False,) * 4))
    assert id == "a"
    assert reason.endswith("(nothing on the front is measured yet, so predictions decide)")
    assert picked("knee", front((False, False, True, False)))[1].endswith("macs 0.000, the only one")


def test_a_first_objective_that_is_made_small() -> None:
    table = front()
    found = pick("best", table.iloc[::-1].reset_index(drop=True), OBJECTIVES[::-1], Columns(table, {}, OBJECTIVES))
    assert found.reason.startswith("d (candidate 1): the lowest macs on the front")


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("bst", {}, r"choice: got 'bst'; expected one of best, checked, knee, weights, chosen; did you mean 'best'\?"),
        ("weights", {}, "choice: got no weights with the rule 'weights'"),
        ("knee", {"weights": {"macs": 1}}, "choice: got weights with the rule 'knee'"),
        ("weights", {"weights": {"mac": 1}}, r"weights: got 'mac'; expected .*did you mean 'macs'"),
        ("weights", {"weights": {"origin": 1}}, r"weights: got 'origin'; expected a metric, one of macs, latency_ms"),
        ("weights", {"weights": {"macs": -1}}, r"weights.macs: got -1; expected a number from 0"),
        ("weights", {"weights": {"macs": "much"}}, r"weights.macs: got 'much'; expected a number from 0"),
        ("weights", {"weights": {"macs": math.inf}}, r"weights.macs: got inf"),
        ("weights", {"weights": {"macs": 0}}, "weights: got none above 0"),
        ("weights", {"weights": {"latency": 1, "latency_ms": 2}}, "got latency_ms a second time"),
    ],
)
def test_what_is_no_rule_and_no_weight(rule: str, options: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        picked(rule, **options)


def test_nothing_checked_cannot_be_chosen_by() -> None:
    with pytest.raises(RunError, match="got no design of the front that is checked"):
        picked("checked", check="third")


def test_an_unknown_metric_leaves_a_design_to_the_last() -> None:
    assert picked("weights", weights={"latency_ms": 1})[0] == "a"
    table = front()
    of = Columns(table, {}, OBJECTIVES)
    found = by_weights(table, of, {"latency_ms": 1, "macs": 0})
    assert list(found["id"]) == ["a", "d", "c", "b"]
    assert found["weighted_sum"].tolist()[:3] == [0, 0.5, 1]
    assert math.isnan(found["weighted_sum"][3])


def test_orders() -> None:
    table = front()
    of = Columns(table, {}, OBJECTIVES)
    assert "".join(ordered(table, of, "macs")["id"]) == "dcba"
    assert "".join(ordered(table, of, "macs", ascending=False)["id"]) == "abcd"
    assert "".join(ordered(table, of, "other")["id"]) == "bdac"  # unknown last
    assert "".join(ordered(table, of, "latency", ascending=False)["id"]) == "cdab"
    assert "".join(ordered(table, of, "score")["id"]) == "abcd"
    with pytest.raises(SettingError, match=r"sort: got 'scor'.*did you mean 'score'"):
        ordered(table, of, "scor")
    assert objectives_of({"score": "max", "macs": "min"}) == OBJECTIVES


def test_two_knees() -> None:
    table = front()
    found = by_knees(table, Columns(table, {}, OBJECTIVES), OBJECTIVES, 2)
    assert len(found) == 2
    assert found["marginal_utility"].is_monotonic_decreasing
    assert found["id"][0] == "b"
    for wrong in (0, True, 1.5):
        with pytest.raises(SettingError, match="knees: got"):
            by_knees(table, Columns(table, {}, OBJECTIVES), OBJECTIVES, wrong)


def test_the_marginal_utility_is_the_integral_over_the_weights() -> None:
    """(0, 1), (0.25, 0.25), (1, 0) with w on the first: sums 1 - w, 1/4, w. The middle one is best for w in [1/4, 3/4],
    by min(w, 1 - w) - 1/4, whose integral is 2 * (1/4)^2 / 2 = 1/16; each end by 1/4 - x over x in [0, 1/4]: 1/32.
    """
    found = marginal_utility([(0, 4), (1, 1), (4, 0)])
    assert found == pytest.approx([1 / 32, 1 / 16, 1 / 32], abs=2e-3)
    assert marginal_utility([(0, 4), (1, 1), (1, 1), (4, 0)])[1:3].tolist() == [0, 0]
    assert marginal_utility([(0, 4), (math.nan, 1), (4, 0)])[1] == 0
    assert marginal_utility([(3, 4)]).tolist() == [0]


@given(arrays.arrays(float, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=st.integers(-9, 9)))
def test_even_weights_are_the_knee_and_scaling_is_by_range(losses: np.ndarray) -> None:
    places = scaled(losses.T)
    assert places.min() >= 0
    assert places.max() <= 1
    for row, column in zip(places, losses.T, strict=True):
        span = column.max() - column.min()
        assert row == pytest.approx((column - column.min()) / (span or 1))
    table = pd.DataFrame(losses, columns=[f"latency_{i}" for i in range(losses.shape[1])])
    sums = weighted(table, dict.fromkeys(table, 1.0), Columns(table, {}))
    assert sums == pytest.approx(places.sum(axis=0))
    assert sums[knee(losses)] == pytest.approx(sums.min())
    utility = marginal_utility(losses)
    assert (utility >= 0).all()
    # Whatever the weights, a row that lies above another in each column is never the best.
    above = [any((other < row).all() for other in losses) for row in losses]
    assert (utility[above] == 0).all()
