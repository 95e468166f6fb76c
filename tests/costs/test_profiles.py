from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from gas.costs import LatencyTable, Profile, Target, Timing, make_profile, profile_path, table
from gas.costs.pieces import design_pieces, whole
from gas.costs.predictor import Correction
from gas.costs.profiles import accuracy, estimate, profile_designs, space_pieces, work
from gas.costs.table import TOGETHER
from gas.errors import SettingError
from gas.space import SearchSpace, load_space

DESIGNS = 24


class Pretending(Target):
    """Runs nothing: `times` makes up how long things take."""

    name = "pretending"

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        params = sum(p.numel() for p in module.parameters())
        run = lambda: None  # noqa: E731
        # A whole network takes longer than its pieces: some per parameter, as if they came from afar.
        run.ms = 0.01 + params * (3e-6 if hasattr(module, "stages") else 2e-6) + np.prod(input_shape) * 1e-6
        return run


def times(runs: dict[str, Callable], **settings: object) -> dict[str, Timing]:
    return {name: Timing.of([getattr(run, "ms", 1.0)] * 5) for name, run in runs.items()}


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "measure", times)


@cache
def space() -> SearchSpace:
    return load_space("tiny.yaml")


def make(tmp_path: Path, **options: int) -> LatencyTable:
    return LatencyTable(Pretending(**options), tmp_path / "latency.sqlite", clock="wall")


def made(tmp_path: Path) -> Profile:
    known = make(tmp_path)
    return make_profile(space(), known, work(space(), known, DESIGNS))


def test_every_piece_of_every_design_is_in_the_profile(tmp_path: Path) -> None:
    profile = made(tmp_path)
    assert profile.lacking(space().sample(300, 5)) == 0
    assert {piece.key for piece in space_pieces(space())} == set(profile.known)


def test_what_the_sum_misses_is_learned(tmp_path: Path) -> None:
    profile = made(tmp_path)
    measured = [row[1] for row in profile.designs]
    told = accuracy(measured, [row[2] for row in profile.designs])
    plain = accuracy(measured, [row[3] for row in profile.designs])
    assert told["median_error"] < 0.005 < 0.05 < plain["median_error"]
    held_out = space().sample(50, 99)
    for design, whole_ms in zip(held_out, profile.table.measured(held_out), strict=True):
        prediction = profile.predict(design)
        assert prediction.ms == pytest.approx(whole_ms, rel=0.05)
        assert prediction.low <= prediction.ms <= prediction.high


@pytest.mark.slow
def test_by_arrays_and_by_parts_it_predicts_the_same(tmp_path: Path) -> None:
    profile = made(tmp_path)
    designs = space().sample_feasible(60, 7)
    told = space().arrays.total(designs.rows, space().arrays.price(profile.price))
    assert told == pytest.approx([profile.predict(design).ms for design in designs])


def test_it_goes_to_a_file_and_back(tmp_path: Path) -> None:
    profile = made(tmp_path)
    file = tmp_path / "deep" / "profile.json"
    profile.save(file)
    again = Profile.load(file, make(tmp_path))
    assert again == profile
    for design in space().sample(10, 2):
        assert again.predict(design) == profile.predict(design)
    assert again.table is not None


def test_another_machine_is_refused_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = made(tmp_path)
    file = tmp_path / "profile.json"
    profile.save(file)
    with pytest.raises(
        SettingError, match=r"got a profile of batch 1 \(here: 4\); expected one made here: gas profile"
    ):
        Profile.load(file, make(tmp_path, batch=4))
    monkeypatch.setattr("gas.costs.targets.base.cpu_model", lambda: "another CPU")
    with pytest.raises(SettingError, match=r"got a profile of cpu .* \(here: another CPU\)"):
        Profile.load(file, make(tmp_path))
    told = Profile.load(file, make(tmp_path), foreign=True)
    design = space().sample(1, 3)[0]
    assert told.predict(design) == profile.predict(design)
    del told.known[design_pieces(design)[0].key]
    with pytest.raises(SettingError, match="only the machine that it was made on can measure others"):
        told.predict(design)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nothing", "is no profile"),
        ("{}", "is no profile"),
        ('{"format": 7}', "format: got 7; expected 1; make it anew"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str | None, error: str) -> None:
    file = tmp_path / "profile.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingError, match=error):
        Profile.load(file, make(tmp_path))


def test_a_damaged_profile_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    made(tmp_path).save(file)
    data = json.loads(file.read_text())
    for key in data:
        file.write_text(json.dumps({k: v for k, v in data.items() if k != key}))
        with pytest.raises(SettingError, match="is no profile"):
            Profile.load(file, make(tmp_path))


@pytest.mark.slow
def test_a_profile_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    known = make(tmp_path)
    todo = work(space(), known, DESIGNS)

    def stop(what: str, done: int, total: int) -> None:
        if what == "designs":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_profile(space(), known, todo, progress=stop)
    again = make(tmp_path)
    rest = work(space(), again, DESIGNS)
    assert rest.pieces == []
    assert len(again.lacking([whole(design) for design in rest.designs])) == len(rest.designs) - TOGETHER
    calls: list[tuple] = []
    profile = make_profile(space(), again, rest, progress=lambda *state: calls.append(state))
    assert calls == [("designs", 8, 8), ("repeats", 12, 12)]
    assert len(profile.repeats) == 12


def test_the_estimate_counts_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = make(tmp_path)
    clock = iter(range(1000))
    monkeypatch.setattr("gas.costs.profiles.time.perf_counter", lambda: float(next(clock)))
    todo = work(space(), known, DESIGNS)
    # Eight pieces took one tick together, a design one: what is left takes as many ticks.
    left = len(todo.pieces) - 8
    assert estimate(todo, known) == pytest.approx(left / 8 + len(todo.designs) + 12)


def test_too_few_designs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="designs: got 3; expected a whole number of at least 16"):
        work(space(), make(tmp_path), 3)


def test_profiles_of_other_spaces_and_settings_have_other_files(tmp_path: Path) -> None:
    paths = {profile_path(space(), make(tmp_path)), profile_path(space(), make(tmp_path, batch=2))}
    paths.add(profile_path(load_space("supervit.yaml"), make(tmp_path)))
    assert len(paths) == 3


def test_the_designs_measured_whole_are_from_all_and_from_within_the_bounds() -> None:
    drawn = profile_designs(space(), 40)
    assert len(drawn) == len({design.id for design in drawn}) >= 38
    assert drawn == profile_designs(space(), 40)
    assert drawn != profile_designs(space(), 40, seed=1)


def test_accuracy_by_definition() -> None:
    told = accuracy([10.0, 20.0, 40.0], [10.4, 18.0, 50.0])
    assert told == pytest.approx(
        {
            "designs": 3,
            "spearman": 1.0,
            "median_error": 0.1,
            "worst_error": 0.25,
            "within_5%": 1 / 3,
            "within_10%": 2 / 3,
        }
    )


@pytest.mark.slow
def test_an_interval_is_a_share_of_the_prediction(tmp_path: Path) -> None:
    profile = made(tmp_path)
    inner: Correction = profile.correction
    prediction = profile.predict(space().sample(1, 4)[0])
    assert (prediction.low, prediction.high) == (prediction.ms * inner.low, prediction.ms * inner.high)
