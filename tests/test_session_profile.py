"""Searches that predict latency from a profile, in process, with a proxy that takes no time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_search import LATENCY_SPACE, QUICK, REFERENCE, quick_proxy

from gas.cli import main
from gas.costs import TARGETS, LatencyTable, Profile, profile_path
from gas.costs.pieces import whole
from gas.costs.predictor import Correction
from gas.costs.profiles import space_pieces
from gas.errors import SettingError
from gas.session import Session, search
from gas.space import SearchSpace, load, load_space


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    with quick_proxy():
        yield


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    (tmp_path / "reference.yaml").write_text(REFERENCE)
    (tmp_path / "timed.yaml").write_text(LATENCY_SPACE)
    return load_space(tmp_path / "timed.yaml")


@pytest.fixture
def table() -> LatencyTable:
    return LatencyTable.on(TARGETS.get("cpu_eager")())


def told(space: SearchSpace, table: LatencyTable, *, high: float = 1.0) -> Profile:
    """A profile that was not measured: a piece takes 0.1 ms and 10 ns for each parameter."""
    known = {piece.key: 0.1 + 1e-5 * piece.cost.params for piece in space_pieces(space)}
    return Profile(table.label, space.name, [], Correction(low=1 / high, high=high), known, [], table)


def takes(profile: Profile, reference: object, monkeypatch: pytest.MonkeyPatch) -> float:
    """The reference is measured as slow as the profile has it, whatever machine this is."""
    for piece in {p.key: p for p in _pieces(reference)}.values():
        profile.known[piece.key] = 0.1 + 1e-5 * piece.cost.params
    ms = profile.predict(reference).ms
    monkeypatch.setattr(LatencyTable, "measured", lambda self, designs, beside: [ms])
    return ms


def _pieces(design: object) -> list:
    from gas.costs.pieces import design_pieces

    return design_pieces(design)


def test_every_candidate_is_within_the_bound_on_latency(
    space: SearchSpace, table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = told(space, table, high=1.1)
    bound = 1.5 * takes(profile, load(tmp_path / "reference.yaml"), monkeypatch)
    limits = sorted(profile.predict(design).ms for design in space.sample(50, 0))
    assert limits[0] <= bound / 1.1 < limits[-1]  # the bound cuts the space
    profile.save(profile_path(space, table))
    run = search(space, out=tmp_path / "run", budget=6, **QUICK)
    frame = run.frame()
    assert "infeasible" not in set(frame["status"])
    assert (frame["latency_ms_predicted"] <= bound / 1.1 * (1 + 1e-9)).all()
    for row in frame.to_dict("records"):
        assert row["latency_ms_predicted"] == pytest.approx(profile.predict(run.architecture(row["id"])).ms)
    assert run.latency_interval == pytest.approx((1 / 1.1, 1.1))
    assert Profile.load(tmp_path / "run" / "profile.json", table) == profile
    (recorded,) = [c for c in run.bounds if c.metric == "latency_ms_predicted"]
    assert recorded.high == pytest.approx(bound / 1.1)


def test_a_run_goes_on_with_the_profile_that_it_began_with(
    space: SearchSpace, table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = told(space, table)
    takes(profile, load(tmp_path / "reference.yaml"), monkeypatch)
    kept = profile_path(space, table)
    profile.save(kept)
    unbroken = search(space, out=tmp_path / "unbroken", budget=6, **QUICK).frame()
    search(space, out=tmp_path / "run", budget=3, **QUICK)
    kept.unlink()  # or made anew, with other numbers
    resumed = search(None, out=tmp_path / "run", resume=True, budget=6).frame()
    assert list(resumed["id"]) == list(unbroken["id"])
    assert list(resumed["latency_ms_predicted"]) == list(unbroken["latency_ms_predicted"])


def test_which_profile_is_taken_can_be_said(
    space: SearchSpace, table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(told(space, table), load(tmp_path / "reference.yaml"), monkeypatch)
    told(space, table).save(profile_path(space, table))
    with Session(space, tmp_path / "none", resume=False, settings={**QUICK, "profile": "none"}) as session:
        assert session.pricing.profile is None
    other = told(space, table, high=1.3)
    other.save(tmp_path / "mine.json")
    with Session(
        space, tmp_path / "mine", resume=False, settings={**QUICK, "profile": str(tmp_path / "mine.json")}
    ) as mine:
        assert mine.pricing.profile == other
        assert json.loads((tmp_path / "mine" / "run.json").read_text())["latency_interval"] == [1 / 1.3, 1.3]


def test_a_profile_of_another_machine_is_refused_unless_told(
    space: SearchSpace, table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = told(space, table)
    takes(profile, load(tmp_path / "reference.yaml"), monkeypatch)
    profile.label["torch"] = "1.0"
    file = tmp_path / "other.json"
    profile.save(file)
    with pytest.raises(SettingError, match=r"got a profile of torch 1.0 \(here: .*\); expected one made here"):
        search(space, out=tmp_path / "run", profile=str(file), **QUICK)
    assert not (tmp_path / "run").exists()
    run = search(space, out=tmp_path / "run", profile=str(file), foreign_profile=True, budget=3, **QUICK)
    assert run.settings.foreign_profile
    assert len(run.frame())


def test_a_bound_that_nothing_meets_names_the_least(
    space: SearchSpace,
    table: LatencyTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile = told(space, table)
    least = min(profile.predict(design).ms for design in space.sample(100, 0))
    monkeypatch.setattr(LatencyTable, "measured", lambda self, designs, beside: [1e-4])
    profile.save(profile_path(space, table))
    with pytest.raises(SettingError, match=f"expected bounds that meet {least:.6g} to"):
        search(space, out=tmp_path / "run", **QUICK)
    words = [
        "search",
        "--generator",
        "evolution",
        "--space",
        str(tmp_path / "timed.yaml"),
        "--out",
        str(tmp_path / "again"),
        "--workers",
        "1",
    ]
    assert main(words) == 2
    assert "constraints.latency_ms_predicted: got" in capsys.readouterr().err
    assert whole(load(tmp_path / "reference.yaml")).kind == "whole"
