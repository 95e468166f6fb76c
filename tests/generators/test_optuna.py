"""The generators on Optuna: what the study records is what was realised."""

from __future__ import annotations

import pytest
from generators.stand_in import OBJECTIVES, evaluate, search, stand_in
from optuna.trial import TrialState

from gas.evaluation import Objective, Status
from gas.generators import create

NAMES = ("tpe", "nsga2")


def _recorded(generator: object, params: dict) -> dict:
    """A trial's parameters (indices) as decision values."""
    choices = {d.path: d.choices for d in generator.space.decisions}
    return {path: choices[path][index] for path, index in params.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_study_records_exactly_what_was_realised(name: str) -> None:
    generator = create(name, stand_in(max_macs=1.6e6), OBJECTIVES, 0)
    evaluations = search(generator, 50)
    told = [t for t in generator._study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
    assert len(told) == len(evaluations) == 50
    for trial, evaluation in zip(told, evaluations, strict=True):
        assert _recorded(generator, trial.params) == evaluation.candidate.decisions
        assert tuple(trial.values) == generator.losses(evaluation)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_base_drew_is_learned_from_too(name: str) -> None:
    space = stand_in(dims=(16,), depths=(1,))
    generator = create(name, space, OBJECTIVES, 0)
    evaluations = search(generator, space.size())
    origins = {e.candidate.origin for e in evaluations}
    assert {name, "sweep"} <= origins
    told = [t for t in generator._study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
    assert [_recorded(generator, t.params) for t in told] == [dict(e.candidate.decisions) for e in evaluations]


@pytest.mark.parametrize("name", NAMES)
def test_failures_are_told_as_failed_trials(name: str) -> None:
    generator = create(name, stand_in(), OBJECTIVES, 0)
    for status in (Status.OK, Status.FAILED, Status.INFEASIBLE, Status.DUPLICATE):
        generator.tell(evaluate(generator.ask(1)[0], status))
    states = [t.state for t in generator._study.get_trials(deepcopy=False)]
    assert states == [TrialState.COMPLETE] + [TrialState.FAIL] * 3


@pytest.mark.parametrize("name", NAMES)
def test_proposals_gather_where_the_objective_is_good(name: str) -> None:
    generator = create(name, stand_in(), (Objective("macs"),), 0)
    evaluations = search(generator, 70)
    first, last = ([e.metrics["macs"] for e in part] for part in (evaluations[:16], evaluations[-30:]))
    assert sum(last) / len(last) < 0.75 * sum(first) / len(first)


def test_parallel_proposals_of_tpe_differ_in_more_than_what_forbids_repeats() -> None:
    generator = create("tpe", stand_in(), OBJECTIVES, 0)
    search(generator, 40)
    batch = [dict(c.decisions) for c in generator.ask(8)]
    shared = [sum(a.get(k) == v for k, v in b.items()) for i, a in enumerate(batch) for b in batch[:i]]
    assert sum(shared) / len(shared) < 7


@pytest.mark.parametrize("name", NAMES)
def test_a_repeated_wish_is_varied_within_its_one_trial(name: str) -> None:
    generator = create(name, stand_in(), OBJECTIVES, 0)
    wished, origin = generator.propose()
    assert origin == name
    tries = [generator.propose() for _ in range(15)]  # as the base asks where each was proposed before
    assert {origin for _, origin in tries} == {f"{name}, varied"}
    # A change early in the walk may force others, and a decision may have one allowed value only.
    departed = [sum(r.decisions.get(p, v) != v for p, v in wished.decisions.items()) for r, _ in tries]
    assert sum(departed[:4]) < sum(departed[-4:])
    assert len({r.architecture.id for r, _ in tries}) > 8
    (candidate,) = generator.ask(1)
    assert candidate.origin == f"{name}, varied"
    assert len(generator._study.get_trials(deepcopy=False)) == 1
