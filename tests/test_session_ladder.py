"""A search on a ladder from its settings to its archive: what is asked for, what is refused, what is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gas.errors import SettingError
from gas.parts import rungs_of
from gas.proxies import create
from gas.session import Session, search
from gas.settings import Settings

FIDELITY = {"steps": 12, "images": 64, "validation": 64, "batch": 16}
LADDER = ({"steps": 4}, {"steps": 8})
GIVEN = {"proxy": "short_training", "generator": "random", "fidelity": FIDELITY, "ladder": LADDER, "workers": 1}


def test_a_search_on_a_ladder_ends_with_scores_as_without_one(tmp_path: Path) -> None:
    run = search("tiny.yaml", out=tmp_path / "run", budget=6, seed=4, **GIVEN)
    frame = run.frame().set_index("number")
    states = frame["status"].value_counts()
    assert states["ok"] + states["stopped"] == 6
    assert states["stopped"] >= 1
    for _, row in frame.iterrows():
        assert json.loads(row["fidelity"])["fidelity"]["steps"] in ((12,) if row["status"] == "ok" else (4, 8))
    top = frame[frame["status"] == "ok"].iloc[0]
    proxy = create("short_training", _settings(run))
    design = run.architecture(top["id"])
    assert proxy.score(design, seed=4)["short_training"] == top["short_training"]
    assert not (tmp_path / "run" / "states").exists()
    assert set(run.front()["status"]) == {"ok"}


def test_what_is_cut_off_on_a_ladder_goes_on_from_its_state(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    with Session("tiny.yaml", out, resume=False, settings={**GIVEN, "budget": 4}) as session:
        take = session.loop.take

        def once(outcomes: list, judged: bool | None = None) -> None:
            take(outcomes, judged)
            raise KeyboardInterrupt

        monkeypatch.setattr(session.loop, "take", once)
        with pytest.raises(KeyboardInterrupt):
            session.run()
    assert [file.name for file in (out / "states").iterdir()] == ["0-0.state"]
    run = search(None, out=out, resume=True)
    frame = run.frame()
    assert frame["status"].isin(["ok", "stopped"]).sum() == 4
    again = search("tiny.yaml", out=tmp_path / "again", **{**GIVEN, "budget": 4}).frame()
    same = ["number", "id", "status", "short_training"]
    assert frame[same].sort_values("number").equals(again[same].sort_values("number"))


@pytest.mark.parametrize(
    ("ladder", "problem"),
    [
        (({"steps": 12},), r"ladder\[0\].steps: got 12; expected more than 0, .* and fewer than 12"),
        (({"steps": 8}, {"steps": 8}), r"ladder\[1\].steps: got 8; expected more than 8, the steps of the rung below"),
        (({"resolution": 16},), r"ladder\[0\].steps: got 12"),
        (({"stps": 4},), r"fidelity: got 'stps'; expected one of .*did you mean 'steps'"),
        (({"steps": "4"},), r"fidelity.steps: got '4'"),
    ],
)
def test_a_rung_that_cannot_be_is_refused(ladder: tuple, problem: str) -> None:
    proxy = create("short_training", {"fidelity": FIDELITY})
    with pytest.raises(SettingError, match=problem):
        rungs_of(Settings.of(proxy="short_training", ladder=ladder), proxy)


def test_the_rungs_stop_early_in_one_schedule() -> None:
    proxy = create("short_training", {"fidelity": FIDELITY})
    given = Settings.of(ladder=({"steps": 4, "resolution": 16}, {"steps": 8}))
    assert rungs_of(given, proxy) == (
        {"horizon": 12, "steps": 4, "resolution": 16},
        {"horizon": 12, "steps": 8},
        {},
    )
    assert rungs_of(Settings(), proxy) == ()


def test_no_run_is_left_behind_where_the_ladder_cannot_be(tmp_path: Path) -> None:
    for wrong, problem in (({"eta": 1.0}, "eta: got 1.0"), ({"proxy": "pca_count", "fidelity": {}}, "ladder: got the")):
        with pytest.raises(SettingError, match=problem):
            search("tiny.yaml", out=tmp_path / "run", **{**GIVEN, **wrong}, budget=3)
        assert not (tmp_path / "run").exists()


def _settings(run) -> dict:
    """What `create` takes of a recorded proxy."""
    return {name: run.record["proxy"][name] for name in ("data", "fidelity", "seed")}
