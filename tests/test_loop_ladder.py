"""The loop where a proxy has rungs: who goes on, what is told, and what is left where it is cut off."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from small_loop import OBJECTIVES, cut, loop_in, named, outcome_of
from small_search import fails, quick_proxy, score, written

from gas.archive import States
from gas.evaluation import Evaluation, Status
from gas.evaluators import Evaluator, Outcome, Task, Work
from gas.generators.random import RandomGenerator
from gas.ladder import Ladder
from gas.loop import Loop
from gas.space import SearchSpace, load_space
from gas.utility import Utility

RUNGS = ({"steps": 2}, {"steps": 4}, {})
WORK = Work((("quick", {"seed": 3}),), rungs=RUNGS)
FIDELITIES = ('{"steps":2}', '{"steps":4}')


class Stairs(Evaluator):
    """Three at a time, last in first out; each rung brings a score nearer to what it comes to."""

    def __init__(self, capacity: int = 3) -> None:
        super().__init__(WORK, workers=capacity)
        self.waiting: list[Task] = []
        self.taken: Counter[tuple[int, int]] = Counter()
        self.states: dict[tuple[int, int], bytes] = {}

    def _start(self, task: Task) -> None:
        self.taken[task.number, task.rung] += 1
        self.states[task.number, task.rung] = task.state
        self.waiting.append(task)

    def collect(self, timeout: float) -> list[Outcome]:
        if not self.waiting:
            return []
        task = self.waiting.pop()
        del self._submitted[task.number]
        number, rung, design = task.number, task.rung, task.candidate.architecture
        if fails(design) and rung == 1:
            return [Outcome(number, {}, "killed", 0.5, "here:1", rung=rung)]
        metrics = {"quick": score(design) * (0.6 + 0.2 * rung)}
        state = b"" if rung == 2 else state_of(number, rung)
        return [Outcome(number, metrics, "", 0.25, "here:1", rung=rung, state=state)]

    def _stop(self) -> None:
        self.waiting.clear()


class Recording(RandomGenerator):
    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.told: list[Evaluation] = []

    def learn(self, evaluation: Evaluation) -> None:
        self.told.append(evaluation)


def state_of(number: int, rung: int) -> bytes:
    return f"{number} after {rung}".encode()


@pytest.fixture(autouse=True)
def _quick():
    with quick_proxy():
        yield


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> SearchSpace:
    return load_space(written(tmp_path_factory.mktemp("space")))


def ladder_in(folder: Path, generator, evaluator: Stairs | None = None, **options: object) -> Loop:
    stairs = evaluator or Stairs()
    settings = {"ladder": Ladder(3, 2), "states": States(folder), "rungs": FIDELITIES, "budget": 12} | options
    return loop_in(folder, generator, stairs, **settings)


def test_each_candidate_climbs_as_far_as_it_promises_and_is_told_once(tmp_path: Path, space: SearchSpace) -> None:
    generator = Recording(space, OBJECTIVES, seed=2)
    loop = ladder_in(tmp_path, generator)
    assert loop.run() == "budget"
    told = {e.candidate.number: e for e in loop.archive.evaluations()}
    climbs = loop.archive.climbs()
    states = Counter(e.status for e in told.values() if e.counts)
    assert states.total() == 12 == loop.progress.done
    assert min(states[Status.OK], states[Status.STOPPED]) > 1
    assert (loop.progress.stopped, loop.progress.failed) == (states[Status.STOPPED], states[Status.FAILED])
    assert set(loop.evaluator.taken.values()) == {1}
    for number, evaluation in told.items():
        mine = [climb for climb in climbs if climb.candidate.number == number]
        assert [climb.rung for climb in mine] == list(range(len(mine)))
        assert all(climb.goes_on for climb in mine[:-1])
        top = evaluation.status is Status.OK
        if top or evaluation.status is Status.STOPPED:
            assert mine[-1].goes_on == top
            assert evaluation.seconds == pytest.approx(0.25 * (len(mine) + top))
        if top:
            assert evaluation.metrics["quick"] == score(evaluation.candidate.architecture)
    assert [e.candidate.number for e in generator.told] == [e.candidate.number for e in told.values()]


def test_a_candidate_goes_on_from_its_own_state_and_none_is_left_at_the_end(tmp_path: Path, space: SearchSpace) -> None:
    loop = ladder_in(tmp_path, named("random", space))
    loop.run()
    for (number, rung), state in loop.evaluator.states.items():
        assert state == (state_of(number, rung - 1) if rung else b"")
    assert not (tmp_path / "states").exists()


def test_what_was_stopped_is_recorded_as_predicted_and_learnt_from(tmp_path: Path, space: SearchSpace) -> None:
    generator = Recording(space, OBJECTIVES, seed=2)
    loop = ladder_in(tmp_path, generator)
    loop.run()
    stopped = [e for e in loop.archive.evaluations() if e.status is Status.STOPPED]
    learnt = {e.candidate.number: e for e in generator.told}
    for evaluation in stopped:
        assert "quick" not in evaluation.metrics  # which is what was worked out in full
        assert evaluation.reason.startswith("stopped at rung ")
        told = learnt[evaluation.candidate.number]
        assert told.ok
        assert told.metrics["quick"] == evaluation.metrics["quick_predicted"]
        assert generator.losses(told) is not None
    frame = loop.archive.frame()
    rows = frame[frame["status"] == "stopped"]
    assert rows["fidelity"].isin(FIDELITIES).all()
    assert rows["quick"].isna().all()
    assert loop.archive.front(OBJECTIVES)["status"].eq("ok").all()


def test_a_utility_is_worked_out_at_each_rung(tmp_path: Path, space: SearchSpace) -> None:
    utility = Utility("utility", "quick - macs / 1e8", ("quick", "macs"))
    generator = Recording(space, OBJECTIVES, seed=2)
    loop = ladder_in(tmp_path, generator, utility=utility)
    loop.objectives = (type(OBJECTIVES[0])("utility", maximise=True),)
    assert loop.run() == "budget"
    for told in generator.told:
        if told.ok:
            assert told.metrics["utility"] == pytest.approx(told.metrics["quick"] - told.metrics["macs"] / 1e8)


@pytest.mark.parametrize("name", ["evolution", pytest.param("tpe", marks=pytest.mark.slow)])
def test_a_ladder_cut_anywhere_and_resumed_equals_the_unbroken_one(
    name: str, tmp_path: Path, space: SearchSpace, monkeypatch
) -> None:
    monkeypatch.setattr("gas.loop.REJECTIONS", 8)
    whole = ladder_in(tmp_path / "whole", named(name, space), budget=6)
    whole.run()
    expected = sorted((outcome_of(e) for e in whole.archive.evaluations()), key=lambda told: told[0].number)
    climbed = {(c.candidate.number, c.rung): (c.metrics, c.goes_on) for c in whole.archive.climbs()}
    total = len(list(whole.archive.events()))
    assert {e[2] for e in expected} >= {Status.OK, Status.STOPPED}
    for k in range(total + 1):
        cut(whole.archive, k, tmp_path / str(k))
        resumed = ladder_in(tmp_path / str(k), named(name, space), budget=6)
        before = {(c.candidate.number, c.rung) for c in resumed.archive.climbs()}
        assert resumed.run(resumed.replay()) == "budget"
        told = sorted((outcome_of(e) for e in resumed.archive.evaluations()), key=lambda told: told[0].number)
        assert sum(status in (Status.OK, Status.FAILED, Status.STOPPED) for _, _, status, _, _ in told) == 6
        assert len({candidate.number for candidate, *_ in told}) == len(told)
        assert not before & set(resumed.evaluator.taken)  # no rung is trained twice
        assert set(resumed.evaluator.taken.values()) <= {1}
        if k == total:
            assert told == expected
            assert {(c.candidate.number, c.rung): (c.metrics, c.goes_on) for c in resumed.archive.climbs()} == climbed
        resumed.archive.close()


def test_time_that_is_up_ends_a_climb_where_it_stands(tmp_path: Path, space: SearchSpace, monkeypatch) -> None:
    loop = ladder_in(tmp_path, named("random", space), Stairs(capacity=1))
    take = loop.take

    def late(outcomes: list[Outcome]) -> None:
        loop.deadline = 0.0  # they came back after the time was up
        take(outcomes)

    monkeypatch.setattr(loop, "take", late)
    assert loop.run() == "time"
    (climb,) = loop.archive.climbs()
    assert climb.goes_on
    assert loop.archive.evaluations() == []
    assert States(tmp_path).load(0, 0) == state_of(0, 0)
    loop.archive.close()
    again = ladder_in(tmp_path, named("random", space), Stairs(capacity=1), budget=1)
    assert again.run(again.replay()) == "budget"
    assert again.evaluator.states == {(0, 1): state_of(0, 0), (0, 2): state_of(0, 1)}


def test_a_state_that_is_gone_only_costs_time(tmp_path: Path) -> None:
    states = States(tmp_path)
    assert states.load(3, 0) == b""
    states.keep(3, 0, b"zero")
    states.keep(3, 1, b"one")
    assert states.load(3, 0) == b""  # the one above took its place
    assert states.load(3, 1) == b"one"
    states.close()
    assert states.folder.exists()
    states.drop(3, 3)
    states.close()
    assert not states.folder.exists()


def test_fidelities_are_recorded_rung_by_rung(tmp_path: Path, space: SearchSpace) -> None:
    loop = ladder_in(tmp_path, named("random", space))
    loop.run()
    climbs = Counter(climb.candidate.number for climb in loop.archive.climbs())
    frame = loop.archive.frame().set_index("number")
    assert {json.loads(text)["steps"] for text in frame.loc[frame["status"] == "ok", "fidelity"]} == {1}
    for number, row in frame[frame["status"] == "stopped"].iterrows():
        assert row["fidelity"] == FIDELITIES[climbs[number] - 1]
