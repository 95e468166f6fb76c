"""Work at the rungs of a ladder: each goes on from what the one below left, through the packing of several states."""

from __future__ import annotations

from typing import Any

import pytest
from proxies.designs import tiny

from gas.errors import SettingError
from gas.evaluation import Candidate
from gas.evaluators import Work, at_rung, create
from gas.evaluators._work import Prepared, _packed, _unpacked, prepare, run_work

FIDELITY = {"resolution": 32, "width": 1.0, "images": 64, "validation": 80, "batch": 16, "steps": 9, "seeds": 1}
RUNGS = ({"steps": 3, "horizon": 9}, {"steps": 6, "horizon": 9}, {})
PROXIES = (("short_training", {"fidelity": FIDELITY, "seed": 2}),)


class Counting:
    """A proxy that counts the rungs it has climbed, in its state."""

    resumable = True

    def __init__(self, name: str) -> None:
        self.name = name

    def resume(self, architecture: Any, state: bytes, *, seed: int, deadline: float | None) -> tuple[dict, bytes]:
        climbed = len(state)
        return {self.name: float(climbed)}, state + self.name[:1].encode()


def test_states_of_several_proxies_travel_as_one() -> None:
    work = Work((), rungs=({}, {}, {}))
    prepared = Prepared(work, [[(Counting("a"), 0), (Counting("b"), 0)]] * 3)
    state, seen = b"", []
    for rung in range(3):
        outcome = run_work(prepared, 4, tiny().to_json(), rung, state)
        assert (outcome.rung, outcome.reason) == (rung, "")
        state = outcome.state
        seen.append((outcome.metrics, state and _unpacked(state)))
    assert seen == [
        ({"a": 0.0, "b": 0.0}, {"0": b"a", "1": b"b"}),
        ({"a": 1.0, "b": 1.0}, {"0": b"aa", "1": b"bb"}),
        ({"a": 2.0, "b": 2.0}, b""),  # nothing is gone on with from the last
    ]


@pytest.mark.parametrize("states", [{}, {"0": b""}, {"0": b"\n\n", "1": b"{}"}, {"x": bytes(range(256))}])
def test_packing_and_unpacking(states: dict[str, bytes]) -> None:
    assert _unpacked(_packed(states)) == states


def test_climbing_comes_to_what_going_at_once_comes_to() -> None:
    whole = run_work(prepare(Work(PROXIES)), 0, tiny().to_json())
    prepared = prepare(Work(PROXIES, rungs=RUNGS))
    state, scores = b"", []
    for rung in range(3):
        outcome = run_work(prepared, 0, tiny().to_json(), rung, state)
        assert outcome.reason == ""
        state = outcome.state
        scores.append(outcome.metrics)
    assert scores[2] == whole.metrics
    assert scores[0] != scores[1] != scores[2]


def test_a_state_that_is_damaged_is_the_candidate_s_failure() -> None:
    prepared = prepare(Work(PROXIES, rungs=RUNGS))
    outcome = run_work(prepared, 0, tiny().to_json(), 1, b"no state")
    assert outcome.reason.startswith(("ValueError", "JSONDecodeError"))
    assert (outcome.metrics, outcome.state) == ({}, b"")


def test_in_process_a_rung_and_its_state_go_through() -> None:
    with create("in_process", Work(PROXIES, rungs=RUNGS)) as evaluator:
        candidate = Candidate(3, tiny())
        evaluator.submit(candidate)
        (first,) = evaluator.collect(60.0)
        assert (first.rung, first.reason) == (0, "")
        evaluator.submit(candidate, 1, first.state)
        (second,) = evaluator.collect(60.0)
    assert (second.rung, second.reason) == (1, "")
    assert len(second.state) > 100


def test_a_proxy_that_cannot_go_on_stands_on_no_ladder() -> None:
    with pytest.raises(SettingError, match="ladder: got the proxy pca_count; expected one that can go on"):
        prepare(Work((("pca_count", {}),), rungs=({"batch": 8}, {})))


def test_settings_at_a_rung() -> None:
    settings = {"data": "digits", "fidelity": {"steps": 9, "batch": 16}}
    assert at_rung(settings, {"steps": 3}) == {"data": "digits", "fidelity": {"steps": 3, "batch": 16}}
    assert at_rung(settings, {}) == settings
    assert settings["fidelity"]["steps"] == 9
