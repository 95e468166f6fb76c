"""`gas latency` on a target whose times the tests make up."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hiera_parity import tiny
from torch import nn

from gas.cli import main
from gas.costs import TARGETS, LatencyTable, Profile, Target
from gas.costs.measure import SelfTimed
from gas.costs.pieces import design_pieces
from gas.costs.predictor import Correction
from gas.exports.design_file import design_text
from gas.space import load


class Made(SelfTimed):
    """Takes a time that is worked out from the design's classes and the settings; every other run takes more."""

    def __init__(self, ms: float, noise: float) -> None:
        self.ms, self.noise, self.calls = ms, noise, 0

    def __call__(self) -> object:
        return None

    def elapsed_ms(self) -> float:
        self.calls += 1
        time.sleep(1e-3 * (self.noise > 0))  # or there would be ten thousand rounds before the time is up
        return self.ms * (1.0 + self.noise * (self.calls % 2))


class Sundial(Target):
    """Milliseconds are classes times batch, divided by threads."""

    name = "sundial"
    noise = 0.0

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        return Made(module.head.linear.out_features * self.batch / self.threads, self.noise)

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "gnomon": "1.2"}


class Overcast(Sundial):
    """Times that do not settle."""

    name = "overcast"
    noise = 0.2


class Night(Sundial):
    """Not here."""

    name = "night"

    @classmethod
    def unavailable(cls) -> str:
        return "the sun is down"


@pytest.fixture
def call(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable:
    TARGETS.names()
    for cls in (Sundial, Overcast, Night):
        monkeypatch.setitem(TARGETS._table, cls.name, cls)
    monkeypatch.setattr("gas.costs.targets.base.cores", lambda: 4)
    monkeypatch.chdir(tmp_path)
    for classes in (2, 3):
        (tmp_path / f"of{classes}.yaml").write_text(design_text(tiny(classes=classes), f"of{classes}"))

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["latency", *(str(word) for word in words)])
        return (code, *capsys.readouterr())

    return run


def test_every_setting_is_measured_with_every_design(call) -> None:
    words = ("of2.yaml", "of3.yaml", "--target", "sundial,overcast", "--batch", "1,8", "--threads", "1,2")
    code, out, err = call(*words, "--seconds", 0.1, "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    settings = [(row["target"], row["threads"], row["batch"]) for row in rows]
    each = [(t, n, b) for t in ("sundial", "overcast") for n in (1, 2) for b in (1, 8)]
    assert settings == [setting for setting in each for _ in range(2)]
    assert [row["name"] for row in rows] == ["of2", "of3"] * 8
    for row in rows[:8]:
        ms = int(row["name"][-1]) * row["batch"] / row["threads"]
        assert (row["latency_ms"], row["latency_ms_q1"], row["latency_ms_q3"]) == (ms, ms, ms)
        assert row["images_per_s"] == pytest.approx(1e3 * row["batch"] / ms)
        assert row["ratio"] == row["ratio_low"] == row["ratio_high"] == int(row["name"][-1]) / 2
        assert (row["settled"], row["outliers"], row["known_to"], row["gnomon"]) == (True, 0, 0.0, "1.2")
    assert not any(row["settled"] for row in rows[8:])


def test_csv_holds_what_json_holds(call) -> None:
    words = ("of2.yaml", "of3.yaml", "--target", "sundial")
    table = list(csv.DictReader(io.StringIO(call(*words, "--csv")[1])))
    rows = json.loads(call(*words, "--json")[1])
    assert [list(row) for row in table] == [list(row) for row in rows]
    assert [float(row["latency_ms"]) for row in table] == [row["latency_ms"] for row in rows]


def test_people_see_what_the_numbers_hold_for(call) -> None:
    _, out, _ = call("of2.yaml", "of3.yaml", "--target", "sundial", "--batch", 4)
    heading, _, first, second, *notes = out.splitlines()
    assert heading.split()[:4] == ["name", "target", "batch", "threads"]
    assert first.split()[:7] == ["of2", "sundial", "4", "1", "8.00", "8.00", "8.00"]
    assert second.split()[-3:] == ["1.5"] * 3
    assert notes[0] == "ratio: to the first design, measured in turns with it; low and high: its 95% interval"
    assert notes[1].startswith("sundial: ")
    assert notes[1].endswith(", gnomon 1.2")
    assert len(notes) == 2  # all is settled


def test_a_profile_s_predictions_stand_beside(call, tmp_path: Path) -> None:
    design = load("of2.yaml")
    table = LatencyTable.on(Sundial(batch=4))
    known = {piece.key: 0.5 for piece in design_pieces(design)}
    made = Profile(table.label, "any", [], Correction(low=0.9, high=1.2), known, [], table)
    made.save(tmp_path / "profile.json")
    words = ("of2.yaml", "--target", "sundial", "--profile", "profile.json")
    (row,) = json.loads(call(*words, "--batch", 4, "--json")[1])
    ms = 0.5 * len(design_pieces(design))
    assert [row[key] for key in ("predicted_ms", "predicted_low", "predicted_high")] == pytest.approx(
        [ms, 0.9 * ms, 1.2 * ms]
    )
    assert "predicted: by the profile, with its 90% interval" in call(*words, "--batch", 4)[1]
    code, out, err = call(*words, "--batch", 5)
    assert (code, out) == (2, "")
    assert "got a profile of batch 4 (here: 5); expected one made here" in err


def test_one_design_has_no_ratio(call) -> None:
    out = call("of2.yaml", "--target", "sundial")[1]
    assert "ratio" not in out


def test_what_did_not_settle_is_said(call) -> None:
    words = ("of2.yaml", "of3.yaml", "--target", "overcast", "--seconds", 0.1, "--batch", 1)
    out = call(*words)[1]
    assert "the time was up with 2 of 2 medians known less well than to 2% (the worst to " in out
    rows = json.loads(call(*words, "--json")[1])
    assert [row["settled"] for row in rows] == [False, False]
    assert all(row["known_to"] > 0.02 for row in rows)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--target", "sundial,night"), "target: got night; expected one that this machine has: cpu_compiled"),
        (("--target", "sundial,night"), "(night: the sun is down)"),
        (("--target", "sundail"), "target: got 'sundail'; expected one of"),
        (("--target", "sundial,"), "target: got ''; expected one of"),
        (("--target", "sundial", "--threads", "1,5"), "threads: got 5; expected at most 4, the cores"),
        (("--target", "sundial", "--threads", "0"), "threads: got '0'; expected a whole number from 1"),
        (("--target", "sundial", "--batch", "0"), "batch: got '0'; expected a whole number from 1"),
        (("--target", "sundial", "--channels-last"), "channels_last: got True; expected False, because sundial"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(call, monkeypatch, words: tuple, text: str) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("measured already")

    monkeypatch.setattr(Sundial, "prepare", refuse)
    code, out, err = call("of2.yaml", *words)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1


def test_the_memory_format_is_said_where_it_is_not_the_usual_one(call) -> None:
    words = ("of2.yaml", "--target", "cpu_eager", "--seconds", 0.1)
    assert "channels_last" not in call(*words, "--no-channels-last")[1]
    assert "memory_format channels_last" in call(*words, "--channels-last")[1]


def test_the_help_names_every_target(capsys: pytest.CaptureFixture) -> None:
    main(["latency", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"Targets: {', '.join(TARGETS.names())}." in told
