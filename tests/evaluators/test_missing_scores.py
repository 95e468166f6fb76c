"""Scores that are missing, not a number or infinite, at each place where one could slip in: none is on a front."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_loop import BOUND, OBJECTIVES, Lifo, loop_in
from small_search import SPACE, macs, score

from gas.architecture import Architecture
from gas.archive import Archive, States
from gas.archive.frames import Told, frame_of, front_of
from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.evaluators import Evaluator, Outcome, Work, create
from gas.evaluators._work import Prepared, run_work
from gas.generators.random import RandomGenerator
from gas.ladder import Ladder
from gas.progress import Front
from gas.proxies import create as create_proxy
from gas.space import space_from_text
from gas.testing.cases import small_design
from gas.verify import score_references, unrefuted_front

WRONG = (math.nan, math.inf, -math.inf)
DESIGNS = sorted({d.id: d for d in space_from_text(SPACE).sample(400, 0)}.values(), key=macs)
TEXT = small_design().to_json()
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, *WRONG, None])  # None: not there


class Stub:
    """A proxy made of one function of the design."""

    inspect = None

    def __init__(self, name: str, tell) -> None:
        self.name, self._tell = name, tell

    def score(self, architecture: Architecture, *, seed: int, deadline: float | None) -> dict[str, float]:
        return self._tell(architecture)


class Faulty(Lifo):
    """Gives every other candidate what it was made with in place of its score, and says of none that it failed."""

    def __init__(self, metrics: dict[str, float], rung: int = 0) -> None:
        super().__init__()
        self.metrics, self.rung = metrics, rung

    def collect(self, timeout: float) -> list[Outcome]:
        if not self.waiting:
            return []
        task = self.waiting.pop()
        del self._submitted[task.number]
        faulty = task.number % 2 == 0 and task.rung == self.rung
        told = self.metrics if faulty else {"quick": score(task.candidate.architecture)}
        return [Outcome(task.number, dict(told), "", 0.25, "here:1", rung=task.rung)]


class Recording(RandomGenerator):
    """Remembers what it was told."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.told: list[Evaluation] = []

    def learn(self, evaluation: Evaluation) -> None:
        self.told.append(evaluation)


pytestmark = pytest.mark.usefixtures("quick")


def raises(error: Exception):
    def tell(architecture: Architecture) -> dict[str, float]:
        raise error

    return tell


@pytest.mark.parametrize(
    ("tell", "reason"),
    [
        (raises(ValueError("no weight has a gradient")), "zico: ValueError: no weight has a gradient"),
        (raises(ZeroDivisionError()), "zico: ZeroDivisionError"),
        (lambda a: {"zico": math.nan}, "zico: ValueError: zico: got nan; expected a finite number"),
        (lambda a: {"zico": 1.0, "zico_layers": math.inf}, "zico: ValueError: zico_layers: got inf; expected a finite"),
        (lambda a: {"zico": None}, "zico: TypeError: "),
        (lambda a: {"zico": "3,5"}, "zico: ValueError: could not convert"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_proxy_of_several_that_cannot_score_is_named_and_nothing_is_made_up(tell, reason: str, place: int) -> None:
    good = [Stub("snip", lambda a: {"snip": 1.0}), Stub("swap", lambda a: {"swap": 5.0})]
    proxies = [*good[:place], Stub("zico", tell), *good[place:]]
    outcome = run_work(Prepared(Work(()), [[(proxy, 0) for proxy in proxies]]), 7, TEXT)
    assert outcome.reason.startswith(reason)
    assert outcome.metrics == {}


def test_a_number_that_two_proxies_give_is_neither_s() -> None:
    proxies = [Stub(name, lambda a: {"snip": 1.0}) for name in ("snip", "zico")]
    outcome = run_work(Prepared(Work(()), [[(proxy, 0) for proxy in proxies]]), 7, TEXT)
    assert (outcome.metrics, outcome.reason) == ({}, "zico: ValueError: snip: given by two proxies; expected one")


def test_a_proxy_alone_is_not_named() -> None:
    outcome = run_work(Prepared(Work(()), [[(Stub("zico", raises(ValueError("no gradient"))), 0)]]), 7, TEXT)
    assert outcome.reason == "ValueError: no gradient"


@pytest.mark.parametrize(("name", "words"), [("short_training", "training"), ("micro_tasks", "patch_order: training")])
def test_a_training_that_blows_up_is_a_reason(name: str, words: str) -> None:
    fidelity = {"width": 1.0, "images": 64, "validation": 32, "steps": 4, "batch": 16, "rate": 1e30, "warm_up": 0.0}
    proxy = create_proxy(name, {"data": "digits", "fidelity": fidelity})
    outcome = run_work(Prepared(Work(()), [[(proxy, 0)]]), 7, TEXT)
    assert outcome.metrics == {}
    assert re.match(rf"(Diverged|ValueError): {words} diverged: the loss is (nan|inf) at step", outcome.reason)


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"quick": math.nan}, "quick: got nan; expected a finite number"),
        ({"quick": math.inf}, "quick: got inf; expected a finite number"),
        ({"quick": -math.inf}, "quick: got -inf; expected a finite number"),
        ({"quick": 1e9, "quick_extra": math.nan}, "quick_extra: got nan; expected a finite number"),
        ({"quick_extra": 1.0}, "quick: got no value; expected a finite number, because it is an objective"),
        ({}, "quick: got no value; expected a finite number, because it is an objective"),
    ],
)
def test_the_loop_takes_no_such_score_from_an_evaluator(tmp_path: Path, metrics: dict, reason: str) -> None:
    generator = Recording(space_from_text(SPACE), OBJECTIVES, seed=1)
    loop = loop_in(tmp_path, generator, Faulty(metrics), budget=10)
    loop.run()
    told = [e for e in loop.archive.evaluations() if e.counts]
    failed = [e for e in told if e.candidate.number % 2 == 0]
    assert len(told) == 10
    assert len(failed) > 1
    assert {(e.status, e.reason, tuple(e.metrics)) for e in failed} == {(Status.FAILED, reason, ("macs", "params"))}
    assert all(e.ok for e in told if e.candidate.number % 2)
    assert [e.status for e in generator.told if e.counts] == [e.status for e in told]
    front = loop.archive.front(OBJECTIVES)
    assert len(front)
    assert set(front["number"] % 2) == {1}
    assert loop.progress.best == front["quick"].max() < 1e9
    assert loop.progress.failed == len(failed)


def test_a_rung_is_not_climbed_with_such_a_score(tmp_path: Path) -> None:
    generator = Recording(space_from_text(SPACE), OBJECTIVES, seed=1)
    ladder = {"ladder": Ladder(2, 2), "states": States(tmp_path), "rungs": ('{"steps":2}',)}
    loop = loop_in(tmp_path, generator, Faulty({"quick": math.inf}), budget=8, **ladder)
    loop.run()
    told = [e for e in loop.archive.evaluations() if e.counts]
    assert {e.status for e in told if e.candidate.number % 2 == 0} == {Status.FAILED}
    assert all(climb.candidate.number % 2 for climb in loop.archive.climbs())
    assert Status.OK in {e.status for e in told}


def evaluations(rows: list[tuple[float | None, float | None]]) -> list[Evaluation]:
    """An evaluation per row, each said to be ok, as an archive from elsewhere may hold them."""
    told = []
    for number, row in enumerate(rows):
        metrics = {n: v for n, v in zip(("quick", "cost"), row, strict=True) if v is not None}
        told.append(Evaluation(Candidate(number, DESIGNS[number]), Status.OK, {"macs": 1, **metrics}))
    return told


def best_of(rows: list[tuple[float | None, float | None]]) -> set[int]:
    """Numbers of the rows that no other one dominates among those that are there and finite, by the definition."""
    known = {
        n: (-a, b) for n, (a, b) in enumerate(rows) if None not in (a, b) and math.isfinite(a) and math.isfinite(b)
    }
    beaten = {
        n
        for n, mine in known.items()
        for other in known.values()
        if other != mine and all(o <= m for o, m in zip(other, mine, strict=True))
    }
    return set(known) - beaten


COST = (Objective("quick", maximise=True), Objective("cost"))


@settings(max_examples=25)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8))
def test_an_archive_s_front_is_that_of_its_finite_rows(rows: list[tuple[float | None, float | None]]) -> None:
    rows = [*rows, (1.5, 1.5)]  # so that there is a column of each
    frame = frame_of([Told(e, "", "") for e in evaluations(rows)], (), None)
    assert set(front_of(frame, COST, ())["number"]) == best_of(rows)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8))
def test_the_progress_knows_the_same_front(rows: list[tuple[float | None, float | None]]) -> None:
    front, only = Front(COST, (0.0, 4.0)), Front(COST, (0.0, 4.0))
    for number, evaluation in enumerate(evaluations(rows)):
        losses = tuple(objective.loss(evaluation.metrics) for objective in COST)
        front.add(losses)
        if number in best_of(rows):
            only.add(losses)
    best = max((rows[n][0] for n in best_of(rows)), default=math.nan)
    assert front.best == pytest.approx(best, nan_ok=True)
    assert front.hypervolume == pytest.approx(only.hypervolume, nan_ok=True)


def test_what_is_measured_after_a_search_is_the_front_of_finite_scores(tmp_path: Path) -> None:
    with Archive.create(tmp_path) as archive:
        for evaluation in evaluations([(1.0, 5.0), (math.inf, 1.0), (math.nan, 0.0), (9.0, -math.inf), (None, 1.0)]):
            archive.ask(evaluation.candidate)
            archive.tell(evaluation)
        assert list(unrefuted_front(archive, COST, ())["number"]) == [0]
        assert list(unrefuted_front(archive, (Objective("quick", True), Objective("macs")), ())["number"]) == [3]


class OneFails(Evaluator):
    """Fails every design but the first one submitted."""

    def __init__(self) -> None:
        super().__init__(Work(()), workers=1)
        self.waiting: list[int] = []

    def _start(self, task) -> None:
        self.waiting.append(task.number)

    def collect(self, timeout: float) -> list[Outcome]:
        number = self.waiting.pop()
        del self._submitted[number]
        return [Outcome(number, {"quick": 1.0}, "" if number == -1 else "quick: got nan")]

    def _stop(self) -> None:
        self.waiting.clear()


def test_a_reference_design_that_cannot_be_scored_has_no_score() -> None:
    scores = score_references(OneFails(), {"first": DESIGNS[0], "second": DESIGNS[1]}, timeout=60.0)
    assert scores == {"first": {"quick": 1.0}, "second": {}}


def test_a_proxy_without_a_score_is_told_by_the_evaluator_itself(troubled, collect_all) -> None:
    with create("in_process", Work((("troubles", {}),), modules=("troubles",))) as evaluator:
        evaluator.submit(troubled(0, "nan"))
        (outcome,) = collect_all(evaluator).values()
    assert outcome.reason == "ValueError: troubles: got nan; expected a finite number"
    assert outcome.metrics == {}


@pytest.mark.slow  # Ray Tune takes seconds to import
def test_ray_tune_keeps_the_scores_of_all_proxies() -> None:
    from gas.tune import GasSearch

    work = Work((("quick", {}), ("snip", {})))
    search = SimpleNamespace(_session=SimpleNamespace(work=work, proxy=SimpleNamespace(name="quick")))
    result = {
        "quick": 1,
        "quick_loss": 0.5,
        "snip": 3,
        "rung": 0,
        "seconds": 2.0,
        "worker": "w",
        "training_iteration": 1,
    }
    outcome = GasSearch._outcome(search, SimpleNamespace(number=4), result)
    assert outcome == Outcome(4, {"quick": 1.0, "quick_loss": 0.5, "snip": 3.0}, "", 2.0, "w")


def test_the_bound_of_these_loops_leaves_room() -> None:
    assert sum(macs(design) <= BOUND.high for design in DESIGNS) > 12
