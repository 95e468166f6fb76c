"""Searches whose space names the estimate of ImageNet top-1: alone, beside the proxy, as a bound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_search
from small_search import BODY, QUICK, SCORED, quick_proxy, written

from gas.architecture import Architecture
from gas.archive import Archive
from gas.cli import main
from gas.errors import SettingError, SpaceError
from gas.evaluation import Status
from gas.proxies import PROXIES
from gas.proxies.base import Proxy
from gas.run import open_run
from gas.session import search
from gas.space import load_space

NAME = "imagenet_top1_estimate"
ALONE = "objectives: [{maximise: estimate.imagenet_top1}, {minimise: macs}]\n"
BESIDE = "objectives: [{maximise: proxy}, {maximise: estimate.imagenet_top1}, {minimise: macs}]\n"


def estimate(architecture: Architecture) -> float:
    """Another order than that of the quick score."""
    return 60.0 + 3 * architecture.depths[-1] - architecture.dims[0] / 16


class Estimate(Proxy):
    """Made up, with an error; designs that the quick proxy cannot score are too far from what is known here too."""

    name = NAME

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        if small_search.fails(architecture):
            raise ValueError("macs: got 0.1 M; expected 30 M to 20 G")
        value = estimate(architecture)
        return {NAME: value, f"{NAME}_low": value - 2, f"{NAME}_high": value + 2}


@pytest.fixture(autouse=True)
def _proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    PROXIES.names()
    monkeypatch.setitem(PROXIES._table, NAME, Estimate)
    with quick_proxy():
        yield


def space(folder: Path, text: str) -> Path:
    return written(folder, text=f"name: small\n{BODY}\n{text}")


def test_a_search_for_the_estimate_alone_runs_no_other_proxy(tmp_path: Path) -> None:
    run = search(space(tmp_path, ALONE), out=tmp_path / "run", budget=6, **QUICK)
    assert SCORED == []
    front = run.front()
    designs = [run.architecture(number) for number in front["number"]]
    assert front[NAME].tolist() == [estimate(design) for design in designs]
    assert front[NAME].is_monotonic_decreasing
    assert front[f"{NAME}_low"].tolist() == [value - 2 for value in front[NAME]]
    assert "quick" not in front
    recorded = [json.loads(text) for text in run.frame()["fidelity"] if text]
    assert all(list(settings) == [NAME] for settings in recorded)


def test_beside_the_proxy_both_stand_in_every_evaluation(tmp_path: Path) -> None:
    run = search(space(tmp_path, BESIDE), out=tmp_path / "run", budget=6, **QUICK)
    ok = run.frame().query("status == 'ok'")
    for number in ok["number"]:
        design = run.architecture(int(number))
        row = run.row(design)
        assert (row["quick"], row[NAME]) == (small_search.score(design), estimate(design))
    recorded = json.loads(ok["fidelity"].iloc[0])
    assert {"data", "fidelity", "seed", NAME} == recorded.keys()
    assert [entry["name"] for entry in run.record["scored"]] == ["quick", NAME]


def test_what_cannot_be_estimated_is_a_failed_evaluation_with_the_reason_and_no_number(tmp_path: Path) -> None:
    run = search(space(tmp_path, ALONE), out=tmp_path / "run", budget=30, **QUICK)
    failed = run.frame().query("status == 'failed'")
    assert len(failed) == 4
    assert set(failed["reason"]) == {"ValueError: macs: got 0.1 M; expected 30 M to 20 G"}
    assert failed[NAME].isna().all()
    assert not set(failed["id"]) & set(run.front()["id"])


def test_a_bound_on_the_estimate_decides_who_is_chosen(tmp_path: Path) -> None:
    text = BESIDE + "constraints: {estimate.imagenet_top1: {min: 67}}\n"
    run = search(space(tmp_path, text), out=tmp_path / "run", budget=12, **QUICK)
    front = run.front()
    assert front[NAME].min() >= 67
    assert run.frame()[NAME].min() < 67


def test_the_front_says_the_error_beside_the_estimate(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    search(space(tmp_path, ALONE), out=tmp_path / "run", budget=4, **QUICK)
    assert main(["front", str(tmp_path / "run"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row[f"{NAME}_low"] < row[NAME] < row[f"{NAME}_high"]
    assert main(["front", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "imagenet top1 estimate low" in told


def test_a_resumed_run_still_knows_what_is_scored(tmp_path: Path) -> None:
    search(space(tmp_path, ALONE), out=tmp_path / "run", budget=4, **QUICK)
    run = search(None, out=tmp_path / "run", resume=True, budget=8)
    with Archive.open(tmp_path / "run", readonly=True) as archive:
        scored = [e for e in archive.evaluations() if e.status is Status.OK]
    assert all(NAME in e.metrics for e in scored)
    assert run.record["scored"] == open_run(tmp_path / "run").record["scored"]


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        (ALONE.replace("imagenet", "imagnet"), SpaceError, "did you mean 'estimate.imagenet_top1'"),
        (
            ALONE + "constraints: {estimate.imagenet_top1: {min: 1, of: hiera_tiny}}\n",
            SettingError,
            r"constraints.estimate.imagenet_top1.of: got 'hiera_tiny'",
        ),
    ],
)
def test_bad_input(tmp_path: Path, text: str, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        search(load_space(space(tmp_path, text)), out=tmp_path / "run", budget=2, **QUICK)
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_estimate_has_no_place_on_a_ladder(tmp_path: Path) -> None:
    settings = {"budget": 4, "ladder": ({"steps": 2},), "fidelity": {"steps": 4}, "generator": "evolution"}
    with pytest.raises(SettingError, match=r"ladder: got one with estimate\.imagenet_top1, which trains nothing"):
        search(space(tmp_path, BESIDE), out=tmp_path / "run", proxy="short_training", workers=1, **settings)
