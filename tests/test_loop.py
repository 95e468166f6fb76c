from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from pathlib import Path

import pytest
from small_loop import BOUND, OBJECTIVES, Lifo, cut, loop_in, named, outcome_of
from small_search import SCORED, SIZE, fails, macs, written

from gas.errors import RunError
from gas.evaluation import Candidate, Constraint, Evaluation, Objective, Status
from gas.generators import GENERATORS
from gas.generators.random import RandomGenerator
from gas.loop import Progress, fidelity_json, reference_point
from gas.pricing import Pricing
from gas.space import SearchSpace, load_space

QUICK = ("inquisitor", "evolution")  # what remembers most, and what draws most


class Recording(RandomGenerator):
    """Remembers what it was told."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.told: list[Evaluation] = []

    def learn(self, evaluation: Evaluation) -> None:
        self.told.append(evaluation)


class Forgetful(Recording):
    """Proposes each design twice, which the base class would not let it do."""

    def ask(self, n: int = 1) -> list[Candidate]:
        if self._count % 2:
            last = self.last
            again = Candidate(self._count, last.architecture, "again", last.decisions)
            self._count += 1
            self._pending[again.number] = again
            return [again]
        asked = super().ask(1)
        self.last = asked[0] if asked else None
        return asked


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> SearchSpace:
    return load_space(written(tmp_path_factory.mktemp("space")))


def test_the_budget_counts_evaluations_and_each_candidate_is_told_once(tmp_path: Path, space: SearchSpace) -> None:
    generator = Recording(space, OBJECTIVES, seed=1)
    loop = loop_in(tmp_path, generator, Lifo(), budget=12)
    assert loop.run() == "budget"
    told = loop.archive.evaluations()
    states = Counter(evaluation.status for evaluation in told)
    assert states[Status.OK] + states[Status.FAILED] == 12
    assert states[Status.INFEASIBLE] > 2
    assert states[Status.FAILED] > 0
    assert [outcome_of(e) for e in generator.told] == [outcome_of(e) for e in told]
    assert sorted(e.candidate.number for e in told) == list(range(len(told)))
    assert loop.archive.in_flight() == []
    sent = loop.evaluator.taken
    for evaluation in told:
        design = evaluation.candidate.architecture
        dear = macs(design) > BOUND.high
        expected = Status.INFEASIBLE if dear else Status.FAILED if fails(design) else Status.OK
        assert evaluation.status is expected
        assert sent[evaluation.candidate.number] == (not dear)
        assert evaluation.metrics["macs"] == macs(design)
        assert ("quick" in evaluation.metrics) == (expected is Status.OK)
        assert bool(evaluation.reason) == (expected is not Status.OK)
    progress = loop.progress
    assert (progress.done, progress.failed, progress.proposed) == (12, states[Status.FAILED], len(told))
    assert progress.feasible_share == pytest.approx(12 / len(told))
    frame = loop.archive.frame()
    assert set(frame.loc[frame["status"] == "ok", "fidelity"]) == {'{"steps":1}'}
    assert set(frame.loc[frame["status"] == "infeasible", "fidelity"]) == {""}


def test_a_design_proposed_again_is_told_as_a_duplicate_and_not_evaluated(tmp_path: Path, space: SearchSpace) -> None:
    generator = Forgetful(space, OBJECTIVES, seed=1)
    loop = loop_in(tmp_path, generator, Lifo(), budget=9)
    assert loop.run() == "budget"
    told = {e.candidate.number: e for e in loop.archive.evaluations()}
    for number, evaluation in told.items():
        if number % 2:
            assert evaluation.status is Status.DUPLICATE
            assert evaluation.reason == f"proposed before as {number - 1}"
        else:
            assert evaluation.status is not Status.DUPLICATE
    assert loop.progress.duplicate == len(told) // 2
    assert loop.evaluator.taken.total() == 9
    assert len(generator.told) == len(told)


def test_a_space_without_further_designs_ends_the_search(tmp_path: Path, space: SearchSpace) -> None:
    loop = loop_in(tmp_path, named("random", space), budget=1000)
    assert loop.run() == "exhausted"
    designs = [e.candidate.architecture for e in loop.archive.evaluations()]
    assert len(set(designs)) == len(designs) == SIZE == space.size()
    assert loop.progress.done == len(SCORED) == sum(macs(d) <= BOUND.high for d in designs)


def test_a_space_where_nothing_is_feasible_is_given_up(tmp_path: Path, space: SearchSpace, monkeypatch) -> None:
    monkeypatch.setattr("gas.loop.REJECTIONS", 7)
    notes = []
    loop = loop_in(tmp_path, named("random", space))
    loop.pricing = Pricing((Constraint("params", high=1.0),))
    loop.watch = lambda progress: notes.append(progress.note)
    assert loop.run() == "exhausted"
    told = loop.archive.evaluations()
    assert [e.status for e in told] == [Status.INFEASIBLE] * 7
    assert all(e.reason == f"params {e.metrics['params']}, wanted params <= 1" for e in told)
    again = loop_in(tmp_path, named("random", space))
    assert again.replay() == []
    assert again.run() == "exhausted"  # and does not go on for another seven
    assert len(again.archive.evaluations()) == 7


def test_no_evaluation_is_started_behind_the_deadline(tmp_path: Path, space: SearchSpace) -> None:
    evaluator = Lifo()
    loop = loop_in(tmp_path, named("random", space), evaluator, budget=1000)

    def watch(progress: Progress) -> None:
        if progress.done == 2:
            loop.deadline = time.monotonic() - 1.0

    loop.watch = watch
    assert loop.run() == "time"
    # The two that were under way at the deadline are finished, and nothing else is begun.
    assert loop.progress.done == evaluator.taken.total() == 4
    assert loop.archive.in_flight() == []


def test_what_is_watched_moves_one_way(tmp_path: Path, space: SearchSpace) -> None:
    seen: list[Progress] = []
    loop = loop_in(tmp_path, named("random", space), Lifo(), budget=12)
    loop.watch = lambda progress: seen.append(dataclasses.replace(progress))
    loop.run()
    assert [p.done for p in seen][-1] == 12
    assert {p.total for p in seen} == {12}
    for before, after in itertools.pairwise(seen):
        for name in ("done", "failed", "proposed", "infeasible", "elapsed", "best", "hypervolume"):
            assert not getattr(after, name) < getattr(before, name), name
    assert all(p.in_flight <= 3 for p in seen)
    assert seen[-1].in_flight == 0
    scores = [e.metrics["quick"] for e in loop.archive.evaluations() if e.ok]
    assert seen[-1].best == max(scores)
    assert seen[-1].seconds_left == 0.0


def test_the_hypervolume_is_that_of_the_evaluations(tmp_path: Path, space: SearchSpace) -> None:
    loop = loop_in(tmp_path, named("random", space), Lifo(), reference=reference_point(OBJECTIVES, {"macs": 1.2e7}, {}))
    loop.run()
    points = sorted((e.metrics["macs"] / 1.2e7, e.metrics["quick"]) for e in loop.archive.evaluations() if e.ok)
    area, best = 0.0, 0.0  # a staircase: each design adds what it scores above all cheaper ones
    for cost, value in points:
        area += max(value - best, 0.0) * (1.0 - cost)
        best = max(best, value)
    assert loop.progress.hypervolume == pytest.approx(area)


def test_the_reference_point() -> None:
    objectives = (*OBJECTIVES, Objective("params"), Objective("latency_ms_predicted"))
    point = reference_point(objectives, {"macs": 5.0}, {"macs": 9.0, "params": 7.0})
    assert point == (0.0, 5.0, 7.0, float("inf"))
    assert fidelity_json({"b": 1, "a": {"d": 2}}) == '{"a":{"d":2},"b":1}'


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in GENERATORS.names()]
)
@pytest.mark.parametrize("capacity", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_run_cut_anywhere_and_resumed_equals_the_unbroken_one(
    name: str, capacity: int, tmp_path: Path, space: SearchSpace, monkeypatch
) -> None:
    monkeypatch.setattr("gas.loop.REJECTIONS", 8)  # never so many in a row, but more in all are proposed
    unbroken = loop_in(tmp_path / "whole", named(name, space), Lifo(capacity=capacity), budget=10)
    assert unbroken.run() == "budget"
    expected = [outcome_of(e) for e in unbroken.archive.evaluations()]
    asked = unbroken.archive.candidates()
    assert len({status for _, _, status, _, _ in expected}) > 1
    total = len(list(unbroken.archive.events()))
    assert total == 2 * len(asked)
    for k in range(total + 1):
        cut(unbroken.archive, k, tmp_path / str(k))
        done = {e.candidate.number for kind, e in itertools.islice(unbroken.archive.events(), k) if kind == "told"}
        resumed = loop_in(tmp_path / str(k), named(name, space), Lifo(capacity=capacity), budget=10)
        cut_off = resumed.replay()
        assert [c.number for c in cut_off] == [c.number for c in resumed.archive.in_flight()]
        assert resumed.run(cut_off) == "budget"
        assert [outcome_of(e) for e in resumed.archive.evaluations()] == expected
        assert resumed.archive.candidates() == asked
        assert not done & set(resumed.evaluator.taken)  # nothing is evaluated twice
        assert set(resumed.evaluator.taken.values()) <= {1}
        now, then = (dataclasses.asdict(loop.progress) for loop in (resumed, unbroken))
        same = ("done", "failed", "proposed", "infeasible", "duplicate", "best", "hypervolume")
        assert {key: now[key] for key in same} == {key: then[key] for key in same}
        resumed.archive.close()


def test_what_was_in_flight_is_evaluated_once_even_where_a_duplicate_of_it_was_told(
    tmp_path: Path, space: SearchSpace
) -> None:
    loop = loop_in(tmp_path / "whole", Forgetful(space, OBJECTIVES, seed=1), Lifo(), budget=3)
    loop.run()
    kinds = [kind for kind, _ in loop.archive.events()]
    k = kinds.index("told") + 1  # the first thing told is the duplicate; its original is in flight
    cut(loop.archive, k, tmp_path / "cut")
    again = loop_in(tmp_path / "cut", Forgetful(space, OBJECTIVES, seed=1), Lifo(), budget=3)
    cut_off = again.replay()
    assert [c.number for c in cut_off] == [0]
    again.run(cut_off)
    told = {e.candidate.number: e.status for e in again.archive.evaluations()}
    assert told == {e.candidate.number: e.status for e in loop.archive.evaluations()}
    assert told[0] is Status.OK
    assert told[1] is Status.DUPLICATE


def test_a_smaller_budget_leaves_what_was_in_flight_for_later(tmp_path: Path, space: SearchSpace) -> None:
    loop = loop_in(tmp_path / "whole", named("random", space), Lifo(), budget=6)
    loop.run()
    events = list(loop.archive.events())
    flying = list(itertools.accumulate(1 if kind == "asked" else -1 for kind, _ in events))
    k = max(i for i, n in enumerate(flying) if n == max(flying)) + 1
    cut(loop.archive, k, tmp_path / "cut")
    done = sum(kind == "told" and e.status in (Status.OK, Status.FAILED) for kind, e in events[:k])
    small = loop_in(tmp_path / "cut", named("random", space), Lifo(), budget=done)
    assert small.run(small.replay()) == "budget"
    assert len(list(small.archive.events())) == k
    grown = loop_in(tmp_path / "cut", named("random", space), Lifo(), budget=6)
    assert grown.run(grown.replay()) == "budget"
    assert grown.archive.in_flight() == []
    assert grown.progress.done == 6


def test_a_generator_that_proposes_something_else_by_now_is_refused(tmp_path: Path, space: SearchSpace) -> None:
    loop_in(tmp_path, named("random", space)).run()
    with pytest.raises(RunError, match=r"candidate 0 was \w{12}, but the generator now proposes \w{12}; resume with"):
        loop_in(tmp_path, named("random", space, seed=2)).replay()
    empty = named("random", space)
    empty.exhausted = True
    with pytest.raises(RunError, match="now proposes nothing"):
        loop_in(tmp_path, empty).replay()
