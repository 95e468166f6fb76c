"""What a worker does in its process, looked at in this one; and what Ray gives it of GPUs and threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gas
from gas.errors import RunError, SettingError
from gas.evaluators import Work, create
from gas.evaluators._worker import THREADS, Worker, with_banks


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker sets its process up, which is this one here."""
    import torch

    for name in THREADS:
        monkeypatch.setenv(name, "1")
    handler, threads = signal.getsignal(signal.SIGINT), torch.get_num_threads()
    yield
    signal.signal(signal.SIGINT, handler)
    torch.set_num_threads(threads)


def test_threads_are_those_asked_for(troubled) -> None:
    worker = Worker(Work((("troubles", {}),), modules=("troubles",), threads=2))
    assert worker.ready() == ((), None)
    assert {os.environ[name] for name in THREADS} == {"2"}
    outcome = worker.score(4, troubled(4).architecture.to_json(), 0, b"")
    assert (outcome.number, outcome.metrics["troubles_threads"]) == (4, 2.0)


def test_what_proxies_have_to_say_is_said_once(monkeypatch) -> None:
    worker = Worker(Work((("troubles", {"seed": 1}), ("troubles", {"seed": 2})), modules=("troubles",)))
    import troubles

    monkeypatch.setattr(troubles.Troubles, "notes", lambda self: ("two images are broken",), raising=False)
    assert worker.ready() == (("two images are broken",), None)


def test_an_error_is_handed_back() -> None:
    notes, error = Worker(Work((("troubles", {"data": "missing"}),), modules=("troubles",))).ready()
    assert notes == ()
    assert "cannot be read" in str(error)


def test_a_gpu_that_torch_does_not_see_is_an_error_before_any_candidate() -> None:
    _, error = Worker(Work((("troubles", {}),), modules=("troubles",), gpus=1)).ready()
    assert str(error).startswith("worker_gpus: got 1; expected 0, because torch sees no GPU on ")
    with pytest.raises(SettingError, match=r"worker_gpus: got 0.5; expected 0, because torch sees no GPU here"):
        create("in_process", Work((("troubles", {}),), modules=("troubles",), gpus=0.5))


def test_banks_go_in_place_of_their_paths() -> None:
    work = Work((("a", {"bank": "here", "seed": 1}), ("b", {}), ("c", {"bank": ""})), threads=3)
    assert with_banks(work, {}) == work
    assert with_banks(work, {"here": b"x"}) == Work((("a", {"bank": b"x", "seed": 1}), *work.proxies[1:]), threads=3)


def test_a_bank_that_is_not_there_is_an_error_on_the_driver(monkeypatch, tmp_path: Path) -> None:
    from gas.evaluators import ray_actors

    work = Work((("shared_weights", {"bank": str(tmp_path)}),))
    with pytest.raises(RunError, match=r"bank: got .*; expected the folder of a bank"):
        ray_actors._read_banks(work)


GPUS = """
import sys, logging
sys.path[:0] = {paths!r}
from gas.architecture import Architecture, Spec
from gas.errors import SettingError
from gas.evaluation import Candidate
from gas.evaluators import Work, create
import os
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
os.environ["PYTHONPATH"] = os.pathsep.join({paths!r})
import ray
ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level=40,
         object_store_memory=80 * 2**20)
work = dict(proxies=(("pretend_gpu", {{}}),), modules=("pretend_gpu",))
for workers, gpus in ((1, 3.0), (3, 1.0)):
    try:
        create("ray", Work(gpus=gpus, **work), workers=workers)
    except SettingError as error:
        print(error)
design = Architecture(Spec.of("conv_embed"), (), Spec.of("classifier"))
with create("ray", Work(gpus=0.5, threads=2, **work), workers=2) as evaluator:
    print(evaluator.notes(), ray.available_resources()["GPU"], ray.available_resources().get("CPU", 0))
    evaluator.submit(Candidate(0, design))
    print(evaluator.collect(60.0)[0].metrics)
"""


@pytest.mark.slow
def test_gpus_are_asked_of_ray_and_proxies_told(tmp_path: Path) -> None:
    paths = [str(Path(gas.__path__[0]).parent), str(Path(__file__).parent)]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", GPUS.format(paths=paths)], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "worker_gpus: got 3.0; expected at most 2, the GPUs of a node of this machine or its Ray",
        "workers: got 3; expected at most 2, for which there is room (4 CPUs and 2 GPUs)",
        "['2 workers now'] 1.0 0",
        "{'pretend_gpu': 1.0}",
    ]
