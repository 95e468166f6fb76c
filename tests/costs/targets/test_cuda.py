"""The CUDA targets where there is no such device: what they refuse, and their own logic on a stand-in for torch.cuda.

That kernels run and events tell the time is torch's part, and is only shown by a run on a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gas.costs import TARGETS
from gas.costs.measure import measure
from gas.costs.targets._cuda import WARM_CALLS, EventTimed, tensor_cores
from gas.costs.targets.cuda_eager import CudaEager
from gas.costs.targets.cuda_graphs import CudaGraphs


class Device:
    """A stand-in for torch.cuda that writes down what it is told, and whose events tell a time set by hand."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ms = 0.0
        self.is_side = False

    def event(self, *, enable_timing: bool) -> SimpleNamespace:
        assert enable_timing
        made = SimpleNamespace(at=None)

        def record() -> None:
            self.told.append("record")
            made.at = self.ms

        made.record = record
        made.synchronize = lambda: self.told.append("wait for event")
        made.elapsed_time = lambda other: other.at - made.at
        return made

    def synchronize(self) -> None:
        self.told.append("synchronize")

    def new_stream(self) -> SimpleNamespace:
        return SimpleNamespace(wait_stream=lambda other: self.told.append("side waits"), is_side=True)

    def current_stream(self) -> SimpleNamespace:
        return SimpleNamespace(wait_stream=lambda other: self.told.append("waits for side"))

    @contextmanager
    def stream(self, stream: SimpleNamespace) -> Iterator[None]:
        self.is_side = stream.is_side
        yield
        self.is_side = False

    def new_graph(self) -> SimpleNamespace:
        return SimpleNamespace(replay=lambda: self.told.append("replay"))

    @contextmanager
    def graph(self, graph: SimpleNamespace) -> Iterator[None]:
        self.told.append("recording")
        yield
        self.told.append("recorded")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    for name in ("synchronize", "current_stream", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(device, name))
    for name, made in (("Event", device.event), ("Stream", device.new_stream), ("CUDAGraph", device.new_graph)):
        monkeypatch.setattr(torch.cuda, name, made)
    return device


def settings() -> tuple[object, ...]:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    return matmul.fp32_precision, conv.fp32_precision, torch.backends.cudnn.benchmark


@pytest.mark.parametrize("name", ["cuda_eager", "cuda_graphs"])
def test_why_it_is_not_here(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = TARGETS.get(name)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    assert cls.unavailable() == "torch was built without CUDA"
    assert cls().describe()["gpu"] == "none"
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cls.unavailable() == "no CUDA device was found"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cls.unavailable() == ""


def test_the_label_names_the_device_the_versions_and_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaEager, "unavailable", classmethod(lambda cls: ""))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    label = CudaEager(batch=16).describe()
    assert {**label, "cpu": "", "cudnn": ""} == {
        "target": "cuda_eager",
        "batch": 16,
        "threads": 1,
        "cpu": "",
        "torch": torch.__version__,
        "gpu": "Some GPU",
        "cuda": "13.0",
        "cudnn": "",
        "precision": "float32, TF32 products",
    }


def test_a_run_is_timed_between_two_events_on_an_idle_device(device: Device) -> None:
    before, within = settings(), []

    def step() -> str:
        within.append(settings())
        device.told.append("step")
        device.ms += 7.5
        return "output"

    run = EventTimed(step)
    assert run.elapsed_ms() == 7.5
    assert device.told == ["synchronize", "record", "step", "record", "wait for event"]
    device.told.clear()
    assert run() == "output"
    assert device.told == ["step", "synchronize"]
    assert within == [("tf32", "tf32", True)] * 2
    assert settings() == before


def test_measuring_asks_the_events_and_not_the_clocks(device: Device) -> None:
    def step(ms: float) -> None:
        device.ms += ms

    times = measure({"a": EventTimed(lambda: step(2.0)), "b": EventTimed(lambda: step(6.0))}, seconds=0.0)
    assert (times["a"].median_ms, times["b"].median_ms) == (2.0, 6.0)
    assert times["a"].settled


def test_precision_is_put_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(RuntimeError, match="out of memory"), tensor_cores():
        raise RuntimeError("out of memory")
    assert settings() == before


def test_eager_runs_the_module_every_time(device: Device) -> None:
    module, images = nn.Linear(2, 3), torch.ones(4, 2)
    step = CudaEager(batch=4).step(module, images)
    assert torch.equal(step(), module(images))


def test_a_graph_is_recorded_warm_and_replayed_without_the_module(device: Device) -> None:
    class Module(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            device.told.append("side" if device.is_side else "main")
            return x + 1

    step = CudaGraphs(batch=4).step(Module(), torch.zeros(4, 2))
    warm = ["side waits", *["side"] * WARM_CALLS, "waits for side"]
    assert device.told == [*warm, "recording", "main", "recorded"]
    device.told.clear()
    first, second = step(), step()
    assert device.told == ["replay", "replay"]
    assert first is second  # where the graph writes
