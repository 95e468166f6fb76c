from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError

import pytest
from hiera_parity import tiny
from hypothesis import given
from hypothesis import strategies as st

from gas.evaluation import Candidate, Constraint, Evaluation, Objective, Status

NUMBERS = st.floats(-1e6, 1e6)


def test_a_loss_is_small_where_the_metric_is_good() -> None:
    metrics = {"accuracy": 0.7, "macs": 5.0}
    assert Objective("macs").loss(metrics) == 5.0
    assert Objective("accuracy", maximise=True).loss(metrics) == -0.7
    assert math.isnan(Objective("latency_ms").loss(metrics))
    assert str(Objective("accuracy", maximise=True)) == "maximise accuracy"
    assert str(Objective("macs")) == "minimise macs"


@given(NUMBERS, NUMBERS, NUMBERS)
def test_violation_is_zero_exactly_within_the_bounds(a: float, b: float, value: float) -> None:
    low, high = sorted((a, b))
    violation = Constraint("macs", low, high).violation(value)
    assert violation >= 0
    assert (violation == 0) == (low <= value <= high)


def test_violation_is_a_share_of_the_bound_passed() -> None:
    bound = Constraint("params", 100, 200)
    assert bound.violation(250) == pytest.approx(0.25)
    assert bound.violation(50) == pytest.approx(0.5)
    assert [bound.violation(v) for v in (100, 150, 200)] == [0, 0, 0]
    assert Constraint("x", high=0).violation(1) == math.inf
    assert Constraint("x", low=0).violation(-1) == math.inf
    assert Constraint("x", high=-10).violation(-5) == pytest.approx(0.5)
    assert math.isnan(bound.violation(math.nan))
    assert Constraint("x").violation(1e300) == 0


def test_a_relative_bound_becomes_absolute() -> None:
    relative = Constraint("latency_ms", high=0.5, of="turbovit")
    assert relative.resolved(60.0) == Constraint("latency_ms", high=30.0)
    absolute = Constraint("macs", high=2e9)
    assert absolute.resolved(60.0) is absolute
    assert Constraint("latency_ms", low=0.5, of="turbovit").resolved(60.0).high == math.inf


def test_constraints_as_text() -> None:
    assert str(Constraint("params", high=12.7e6)) == "params <= 1.27e+07"
    assert str(Constraint("params", 1, 2)) == "params >= 1 and <= 2"
    assert str(Constraint("latency_ms", high=1, of="turbovit")) == "latency_ms <= 1 x turbovit"


def test_an_evaluation_is_ok_or_says_why() -> None:
    candidate = Candidate(3, tiny(), "random", {"stages.0.dim": 16})
    assert Evaluation(candidate, Status.OK, {"macs": 1.0}).ok
    for status in set(Status) - {Status.OK}:
        assert not Evaluation(candidate, status, reason="out of memory").ok


def test_a_status_is_its_name_on_disk() -> None:
    assert {str(status) for status in Status} == {"ok", "infeasible", "duplicate", "failed", "stopped"}
    assert Status("failed") is Status.FAILED


def test_candidates_travel_and_compare_without_their_decisions() -> None:
    candidate = Candidate(3, tiny(), "random", {"stages.0.dim": 16})
    assert candidate == Candidate(3, tiny(), "random")
    evaluation = Evaluation(candidate, Status.OK, {"macs": 1.0}, seconds=2.0)
    again = pickle.loads(pickle.dumps(evaluation))
    assert again == evaluation
    assert again.candidate.decisions == {"stages.0.dim": 16}
    with pytest.raises(FrozenInstanceError):
        evaluation.status = Status.FAILED
