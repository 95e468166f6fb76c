"""Measuring the front: who is measured, whom a measurement refutes, and who moves up."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_search import SPACE, macs, quick_proxy, score

from gas.architecture import Architecture
from gas.archive import Archive
from gas.costs import Timing, latency
from gas.evaluation import Candidate, Constraint, Evaluation, Objective, Status
from gas.evaluators import Work, create
from gas.space import space_from_text
from gas.verify import Measuring, measure_designs, measure_front, score_references, standing, unrefuted_front

OBJECTIVES = (Objective("quick", maximise=True), Objective("macs"))
RATIO = (Constraint("latency_ratio", high=1.0),)
SETTING = {"target": "cpu_eager", "batch": 1, "threads": 1, "q1_ms": 1.0, "q3_ms": 9.0, "repeats": 9}
DESIGNS = sorted({d.id: d for d in space_from_text(SPACE).sample(400, 0)}.values(), key=macs)
REFERENCE = DESIGNS[0]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Ten designs that score by their place, so that all stand on the front, and a failed one."""
    with Archive.create(tmp_path) as archive:
        for number, design in enumerate(DESIGNS[:11]):
            status = Status.FAILED if number == 10 else Status.OK
            metrics = {"macs": macs(design)} | ({} if number == 10 else {"quick": float(number)})
            archive.ask(Candidate(number, design))
            archive.tell(Evaluation(Candidate(number, design), status, metrics))
        yield archive


def how(reference: Architecture | None = REFERENCE) -> Measuring:
    return Measuring("cpu_eager", 1, 1, 1.0, "reference" if reference else "", reference)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Latencies in ms are a design's macs in millions; which designs were timed together is noted down."""
    rounds: list[list[str]] = []

    def fake(designs: list[Architecture], **options: object) -> list[Timing]:
        rounds.append([design.id for design in designs])
        return [Timing.of([macs(design) / 1e6 * f for f in (0.9, 1.0, 1.1)]) for design in designs]

    monkeypatch.setattr("gas.verify.latency", fake)
    return rounds


def test_nothing_measured_is_nothing_refuted_and_nothing_verified(archive: Archive) -> None:
    front = unrefuted_front(archive, OBJECTIVES, RATIO)
    assert list(front["number"]) == list(range(9, -1, -1))
    assert not front["verified"].any()
    assert unrefuted_front(archive, OBJECTIVES, ())["verified"].all()
    assert standing(archive, OBJECTIVES, RATIO) == list(front["id"])


def test_a_measurement_that_breaks_the_bound_refutes_and_the_next_design_moves_up(archive: Archive) -> None:
    better = DESIGNS[5]
    hidden = Candidate(11, DESIGNS[12])  # dominated by number 9 alone: it scores as number 9 and costs more
    archive.ask(hidden)
    archive.tell(Evaluation(hidden, Status.OK, {"quick": 9.0, "macs": macs(hidden.architecture)}))
    assert 11 not in set(unrefuted_front(archive, OBJECTIVES, RATIO)["number"])
    archive.measure(DESIGNS[9].id, **SETTING, median_ms=5.0, reference="reference", ratio=1.01)
    archive.measure(better.id, **SETTING, median_ms=4.0, reference="reference", ratio=1.0)
    front = unrefuted_front(archive, OBJECTIVES, RATIO)
    assert list(front["number"]) == [11, *range(8, -1, -1)]
    assert list(front.loc[front["verified"], "id"]) == [better.id]
    # Without a bound on it a latency refutes nobody.
    assert 9 in set(unrefuted_front(archive, OBJECTIVES, ())["number"])
    below = (Constraint("latency_ms", low=4.5),)
    assert better.id not in set(unrefuted_front(archive, OBJECTIVES, below)["id"])


def test_the_front_is_measured_until_all_that_stands_is_known(archive: Archive, measured: list) -> None:
    bound = (Constraint("latency_ratio", high=macs(DESIGNS[6]) / macs(REFERENCE)),)
    seen = []
    left = measure_front(archive, OBJECTIVES, bound, how(), deadline=math.inf, watch=lambda *n: seen.append(n))
    assert left == 0
    front = unrefuted_front(archive, OBJECTIVES, bound)
    assert list(front["number"]) == list(range(6, -1, -1))
    assert front["verified"].all()
    assert seen == [(10, 10)]
    assert all(ids[0] == REFERENCE.id for ids in measured)  # the reference stands in every round
    timed = [id for ids in measured for id in ids[1:]]
    assert sorted(timed) == sorted(d.id for d in DESIGNS[1:10])  # and each design in one
    row = front.iloc[0]
    assert row["latency_ms"] == pytest.approx(macs(DESIGNS[6]) / 1e6)
    assert row["latency_ratio"] == pytest.approx(bound[0].high)
    measure_front(archive, OBJECTIVES, bound, how(), deadline=math.inf)
    assert [id for ids in measured for id in ids[1:]] == timed  # what is known is not measured again


def test_many_designs_are_measured_in_rounds_and_no_round_begins_behind_the_deadline(
    archive: Archive, measured: list, monkeypatch
) -> None:
    monkeypatch.setattr("gas.verify.ROUND", 4)
    late = time.monotonic() - 1.0
    assert measure_front(archive, OBJECTIVES, RATIO, how(None), also=[DESIGNS[20]], deadline=late) == 6
    assert [len(ids) for ids in measured] == [5]
    assert DESIGNS[20].id in measured[0]
    # One of them would move up only because others were refuted: the rounds go on until nobody waits.
    assert measure_front(archive, OBJECTIVES, (), how(None), also=[DESIGNS[20]], deadline=math.inf) == 0
    assert [len(ids) for ids in measured] == [5, 4, 2]


def test_real_measurements_are_recorded_with_their_ratio(archive: Archive, monkeypatch) -> None:
    monkeypatch.setattr("gas.verify.latency", lambda *a, **o: latency(*a, **o | {"seconds": 0.1}))
    measure_designs(archive, DESIGNS[:2], how())
    frame = archive.frame().set_index("id")
    assert frame.loc[REFERENCE.id, "latency_ratio"] == 1.0
    first, second = (frame.loc[d.id] for d in DESIGNS[:2])
    assert second["latency_ms_q1"] <= second["latency_ms"] <= second["latency_ms_q3"]
    assert second["latency_ratio"] == pytest.approx(second["latency_ms"] / first["latency_ms"], rel=0.5)
    assert frame["latency_ms"].notna().sum() == 2


def test_references_are_scored_beside_the_search() -> None:
    with quick_proxy(), create("in_process", Work((("quick", {}),))) as evaluator:
        good = DESIGNS[3]
        bad = next(d for d in DESIGNS if d.dims[0] == 24 and d.depths[1] == 5)
        scores = score_references(evaluator, {"good": good, "bad": bad}, timeout=60.0)
        assert scores == {"good": {"quick": score(good), "quick_seed": 0.0}, "bad": {}}
        assert score_references(evaluator, {"good": good}, timeout=0.0) == {"good": {}}


def test_the_designs_of_these_tests_differ_in_macs() -> None:
    assert all(macs(a) < macs(b) for a, b in itertools.pairwise(DESIGNS))
