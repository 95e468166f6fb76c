from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from export_designs import folding
from hiera_parity import tiny
from torch import nn

from gas.costs import TARGETS, Target, latency, ratio
from gas.errors import DesignError, SettingError, UnknownNameError


class Recorder(Target):
    """A target that writes down what it runs, in order."""

    name = "recorder"
    runs: list[tuple[int, int, int]]

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        classes = module.head.linear.out_features
        return lambda: self.runs.append((classes, self.batch, torch.get_num_threads()))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    TARGETS.names()  # fills the table, which the patch would otherwise keep from being filled
    monkeypatch.setitem(TARGETS._table, "recorder", Recorder)
    monkeypatch.setattr(Recorder, "runs", [], raising=False)
    return Recorder


def test_designs_are_interleaved_on_the_target(recorder: type[Recorder]) -> None:
    designs = [tiny(classes=n) for n in (2, 3, 4)]
    timings = latency(designs, target="recorder", batch=5, threads=2, seconds=0.05)
    rounds = [sorted(recorder.runs[i : i + 3]) for i in range(0, len(recorder.runs), 3)]
    assert all(each == [(2, 5, 2), (3, 5, 2), (4, 5, 2)] for each in rounds)
    (repeats,) = {t.repeats for t in timings}
    assert 7 <= repeats <= len(rounds) - 2  # less the warm-up


def test_designs_are_measured_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[nn.Module] = []

    class Looker(Target):
        name = "looker"

        def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
            seen.append(module)
            return lambda: None

    TARGETS.names()
    monkeypatch.setitem(TARGETS._table, "looker", Looker)
    latency([folding()], target="looker", seconds=0.0)
    (module,) = seen
    assert [type(m).__name__ for m in module.modules() if "Norm" in type(m).__name__] == []


def test_timings_come_in_the_order_of_the_designs_and_can_be_compared() -> None:
    timings = latency([tiny(), replace(tiny(), name="the same design")], seconds=0.2)
    assert len(timings) == 2
    for timing in timings:
        assert 0 < timing.q1_ms <= timing.median_ms <= timing.q3_ms
        assert timing.repeats == len(timing.series) >= 7
    compared = ratio(*timings)
    assert compared.low <= compared.value <= compared.high


def test_measuring_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    latency([tiny()], seconds=0.0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_is_done_is_told_as_it_goes() -> None:
    told: list[tuple[str, float]] = []
    timings = latency([tiny(), tiny(classes=3)], seconds=0.2, watch=lambda what, share: told.append((what, share)))
    assert told[:2] == [("preparing tiny", 0.0), ("preparing tiny", 0.5)]
    rounds = timings[0].repeats
    assert [what for what, _ in told[2:]] == [f"measuring, {done} rounds" for done in range(1, rounds + 1)]
    shares = [share for _, share in told[2:]]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_the_memory_format_is_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    cls = TARGETS.get("cpu_eager")
    real = cls.prepare
    monkeypatch.setattr(cls, "prepare", lambda self, *args: seen.append(self.channels_last) or real(self, *args))
    for wanted in (None, False, True):
        latency([tiny()], seconds=0.0, channels_last=wanted)
    assert seen == [False, False, True]


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="target"):
        latency([tiny()], target="cpu_eagre")
    with pytest.raises(SettingError, match="batch"):
        latency([tiny()], batch=0)
    with pytest.raises(SettingError, match="threads: got 4096; expected at most"):
        latency([tiny()], threads=4096)
    with pytest.raises(DesignError):
        latency([tiny(resolution=30)])


def test_no_designs() -> None:
    assert latency([]) == []
