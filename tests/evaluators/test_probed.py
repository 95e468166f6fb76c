"""Probes on workers: taken of what was scored, of the trained network where there is one, and never in the way."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from contributions import registered
from proxies.designs import tiny

from gas.errors import UnknownNameError
from gas.evaluation import Candidate
from gas.evaluators import Work, create
from gas.evaluators._work import OutOfTime, Prepared, prepare, run_work
from gas.plan import plan
from gas.probes import PROBES, probe
from gas.probes.base import register
from gas.proxies import create as create_proxy

NAMES = ("saliency", "entropy", "macs_share")
FIDELITY = {"resolution": 32, "width": 1.0, "images": 64, "validation": 80, "steps": 2, "batch": 16, "seeds": 1}


class Constant:
    """A proxy that trains nothing."""

    def score(self, architecture: Any, *, seed: int, deadline: float | None) -> dict[str, float]:
        return {"constant": 1.0}


def run(proxy: Any, seed: int = 5, **options: Any) -> Any:
    return run_work(Prepared(Work((), **options), [[(proxy, seed)]]), 3, tiny().to_json())


def test_a_scored_design_is_probed_with_the_proxy_s_seed() -> None:
    outcome = run(Constant(), probes=NAMES)
    assert outcome.metrics == {"constant": 1.0}
    assert outcome.probes == probe(tiny(), names=NAMES, seed=5)
    assert {name for reading in outcome.probes for name in reading} == {"stage", *NAMES}
    assert outcome.note == outcome.reason == ""
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_nothing_is_probed_unless_asked_for() -> None:
    proxy = create_proxy("short_training", {"fidelity": FIDELITY})
    outcome = run(proxy)
    assert (outcome.probes, outcome.note, proxy.inspect) == ((), "", None)


@pytest.mark.parametrize("name", ["short_training", "blend"])
def test_a_trained_network_is_probed_in_place_of_a_fresh_one(name: str) -> None:
    proxy = create_proxy(name, {"fidelity": FIDELITY})
    plain = run(proxy)
    outcome = run(proxy, probes=NAMES)
    assert outcome.metrics == plain.metrics
    seen: list[tuple] = []
    proxy.inspect = lambda *given: seen.append(given)
    proxy.score(tiny(), seed=5)
    ((network, small, images),) = seen
    assert not network.training
    assert small == tiny()
    assert torch.equal(images, proxy.images.val_images)
    assert len(images) == 80
    fresh = probe(tiny(), names=NAMES, seed=5)
    assert [r["macs_share"] for r in outcome.probes] == [r["macs_share"] for r in fresh]
    assert [r["saliency"] for r in outcome.probes] != [r["saliency"] for r in fresh]


@pytest.fixture
def broken() -> Iterator[list[BaseException]]:
    """A probe that raises what the list holds."""
    errors: list[BaseException] = []

    def broken(blocks: Any) -> Any:
        raise errors[0]

    with registered(PROBES, register, "gas.probes", broken=broken):
        yield errors


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (ValueError("odd\nshape"), "not probed: ValueError: odd shape"),
        (TimeoutError("late"), "not probed: TimeoutError: late"),
        (OutOfTime(), "not probed: out of time"),
        (MemoryError(), "not probed: MemoryError"),
    ],
)
def test_a_probe_that_fails_leaves_the_scores_and_says_why(broken: list, error: BaseException, note: str) -> None:
    broken.append(error)
    outcome = run(Constant(), probes=("broken", "macs_share"))
    assert (outcome.metrics, outcome.reason, outcome.probes, outcome.note) == ({"constant": 1.0}, "", (), note)


def test_ctrl_c_is_passed_on(broken: list) -> None:
    broken.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(Constant(), probes=("broken",))


def test_probes_keep_the_candidate_s_deadline() -> None:
    outcome = run(Constant(), probes=NAMES, limit_s=1e-9)
    assert outcome.metrics == {"constant": 1.0}
    assert outcome.note.startswith("not probed: TimeoutError: out of time behind the pass forward")


def test_what_failed_is_not_probed() -> None:
    class Failing(Constant):
        def score(self, architecture: Any, *, seed: int, deadline: float | None) -> dict[str, float]:
            return {"constant": math.nan}

    outcome = run(Failing(), probes=NAMES)
    assert (outcome.metrics, outcome.probes, outcome.note) == ({}, (), "")


def test_a_probe_that_does_not_exist_is_said_before_any_candidate() -> None:
    with pytest.raises(UnknownNameError, match=r"probe: got 'salience'.*did you mean 'saliency'"):
        prepare(Work((), probes=("salience",)))


@pytest.mark.parametrize("name", ["in_process", pytest.param("ray", marks=pytest.mark.slow)])
def test_probes_come_back_from_workers_as_they_are_here(name: str, collect_all) -> None:
    settings = {"fidelity": {**FIDELITY, "images": 32}, "seed": 2}
    with create(name, Work((("pca_count", settings),), probes=NAMES)) as evaluator:
        evaluator.submit(Candidate(4, tiny()))
        outcome = collect_all(evaluator)[4]
    assert outcome.reason == ""
    here = probe(tiny(), names=NAMES, seed=2)
    for reading, expected in zip(outcome.probes, here, strict=True):
        assert reading == pytest.approx(expected)
    assert len(outcome.probes) == len(plan(tiny()).blocks)
