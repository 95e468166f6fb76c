"""What stands behind the commands, where it is not seen through them: see tests/test_cli.py for those."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from scipy.stats import kendalltau
from small_search import QUICK, SPACE, quick_proxy, written

from gas.cli import main
from gas.commands import _agreement, _watcher, block_rows, draw_front, front_columns
from gas.errors import SettingError
from gas.loop import Progress
from gas.run import Run
from gas.session import search
from gas.space import load

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    with quick_proxy():
        return search(written(folder), out=folder / "run", budget=16, **QUICK)


def test_the_bar_learns_what_is_known(monkeypatch) -> None:
    shown = []

    class Bar:
        def update(self, *counts: int, **known: object) -> None:
            shown.append((counts, known))

    watch = _watcher(Bar())
    state = Progress(10)
    watch(state)
    assert shown == []  # a log begins with the first candidate
    watch(dataclasses.replace(state, proposed=4, infeasible=1, done=2, in_flight=1, best=3.5, note="n"))
    assert shown[0][0] == (2, 10)
    assert shown[0][1] == {
        "feasible_share": 0.75, "best": 3.5, "hypervolume": None, "seconds_left": None, "in_flight": 1, "note": "n",
    }  # fmt: skip
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    watch(state)
    assert len(shown) == 2
    _watcher(None)(state)


def test_the_columns_of_a_front_and_of_all_evaluations(run: Run) -> None:
    front = [column.key for column in front_columns(run, run.front())]
    assert front == ["id", "number", "quick", "macs", "params", "verified", "origin"]
    everything = [column.key for column in front_columns(run, run.frame())]
    assert everything == ["id", "number", "status", "reason", "quick", "macs", "params", "origin"]


def test_block_rows_add_up_to_the_designs() -> None:
    designs = [load("hiera_tiny"), load("zoo/turbovit")]
    rows = block_rows(designs)
    for design, (id, group) in zip(designs, itertools.groupby(rows, key=lambda row: row["id"]), strict=True):
        blocks = [row for row in group if row["block"] != ""]
        assert id == design.id
        assert sum(row["count"] for row in blocks) == sum(design.depths)


def test_the_front_is_drawn_with_its_choice(run: Run, tmp_path: Path) -> None:
    path = draw_front(run, tmp_path / "f.svg")
    assert path.read_text().lstrip().startswith("<?xml")
    with pytest.raises(SettingError, match="expected one of"):
        draw_front(run, tmp_path / "f.bmp")


def test_agreement_is_that_of_the_random_designs(run: Run) -> None:
    frame = run.frame()
    rows = frame[(frame["status"] == "ok") & (frame["origin"] == "random")]
    assert len(rows) >= 8
    (note,) = _agreement(run, frame)
    tau = kendalltau(list(rows["quick"]), list(rows["params"])).statistic
    assert note.startswith(f"quick on {len(rows)} random designs of this run")
    assert f"Kendall {tau:.2f} with params and " in note
    assert _agreement(run, frame.head(4)) == []


def test_a_search_in_which_everything_fails_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("small_search.fails", lambda design: True)
    words = [
        "search",
        "--generator",
        "evolution",
        "--space",
        str(written(tmp_path)),
        "--out",
        str(tmp_path / "a b"),
        "--proxy",
        "quick",
    ]
    assert main([*words, "--workers", "1", "--budget", "2"]) == 2
    out, err = capsys.readouterr()
    assert "2 candidates (2 failed)" in out
    last = err.splitlines()[-1]
    assert last == f"gas: {tmp_path}/a b: no design was evaluated with success; see: gas front '{tmp_path}/a b' --all"
    assert main(["front", str(tmp_path / "a b"), "--all"]) == 0
    assert capsys.readouterr().out.count("ValueError: loss is nan") == 2
    assert main(["front", str(tmp_path / "a b")]) == 2
    assert "got no front yet: 2 candidates (2 failed); expected a design that is ok; see gas" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "a b"), "best"]) == 2
    assert "got no design that is ok" in capsys.readouterr().err


def test_a_search_that_finds_nothing_feasible_ends(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("gas.pricing.Pricing.refusal", lambda self, metrics: "too slow")
    words = [
        "search",
        "--generator",
        "evolution",
        "--space",
        str(written(tmp_path, text=SPACE)),
        "--out",
        str(tmp_path / "a"),
        "--proxy",
        "quick",
    ]
    assert main([*words, "--workers", "1"]) == 2
    out, err = capsys.readouterr()
    assert "30 candidates (30 infeasible)" in out
    assert "there is nothing left to propose" in out
    assert "no design was evaluated with success" in err
