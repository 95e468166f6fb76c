"""Searches in run directories: begun, refused, damaged; in process, with a proxy that takes no time."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import small_search
from small_search import QUICK, SCORED, quick_proxy, told, written

import gas
from gas.archive import FILE
from gas.cli import main
from gas.errors import GasError, RunError, SettingError, SpaceError
from gas.records import versions
from gas.run import Run
from gas.session import Session, search
from gas.space import load_space

pytestmark = pytest.mark.usefixtures("quick")


def test_a_search_leaves_a_run_that_says_all_about_itself(space: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    run = search(space, out=tmp_path / "run", budget=9, seed=4, watch=lambda p: seen.append(p.done), **QUICK)
    assert isinstance(run, Run)
    assert seen[-1] == 9
    frame = run.frame()
    assert frame["status"].isin(["ok", "failed"]).sum() == 9 == len(SCORED)
    assert set(frame.loc[frame["status"] == "ok", "quick_seed"]) == {4.0}
    files = sorted(file.name for file in (tmp_path / "run").iterdir() if not file.name.startswith(f"{FILE}-"))
    assert files == [FILE, "front.csv", "lock", "log.txt", "references.json", "run.json", "space.yaml"]
    log = (tmp_path / "run" / "log.txt").read_text().splitlines()
    assert "began" in log[0]
    assert "ended (budget): 9 evaluations" in log[-1]
    assert len(log) == 2 + len(frame)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["budget"] == 9
    assert record["settings"]["seed"] == 4
    assert record["proxy"]["name"] == "quick"
    assert record["versions"] == versions()
    assert all(record["versions"][name][0].isdigit() for name in ("gas", "torch", "python", "moocore"))
    assert (tmp_path / "run" / "space.yaml").read_text() == space.read_text()
    front = run.front()
    assert (tmp_path / "run" / "front.csv").read_text() == front.to_csv(index=False)


def test_a_space_without_objectives_is_searched_for_the_proxy_and_macs(tmp_path: Path) -> None:
    file = written(tmp_path, text=f"name: bare\n{small_search.BODY}")
    run = search(load_space(file), out=tmp_path / "run", budget=3, **QUICK)
    assert [str(o) for o in run.objectives] == ["maximise quick", "minimise macs"]


def test_a_directory_has_one_search_at_a_time(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Session(space, out, resume=False, settings={"budget": 2, **QUICK}) as session:
        with pytest.raises(RunError, match=r"run: another search is writing to this run"):
            search(None, out=out, resume=True)
        with pytest.raises(
            RunError, match=r"got a run that exists already; expected a new directory, or --resume .*run"
        ):
            search(space, out=out, **QUICK)
        assert session.run() == "budget"
    search(None, out=out, resume=True, budget=3)
    assert len(told(out)) == 3


def test_two_searches_that_begin_at_once_in_one_directory(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another search is writing"):
            search(space, out=out, budget=2, **QUICK)
    search(space, out=out, budget=2, **QUICK)


def test_a_beginning_that_was_cut_off_can_be_begun_again(space: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("gas.session.versions", lambda: 1 / 0)  # asked for run.json, the last file of all
        with pytest.raises(ZeroDivisionError):
            search(space, out=out, budget=2, **QUICK)
    assert (out / FILE).exists()
    assert not (out / "run.json").exists()
    search(space, out=out, budget=2, **QUICK)
    assert len(told(out)) == 2
    (out / "run.json").unlink()
    with pytest.raises(RunError, match="got a folder that is no run and not empty"):
        search(space, out=out, budget=2, **QUICK)
    (out / "front.csv").unlink()
    (out / "log.txt").unlink()
    with pytest.raises(RunError, match=r"damaged: got an archive with candidates, but no run\.json"):
        search(space, out=out, budget=2, **QUICK)
    assert len(told(out)) == 2


def test_where_no_run_can_be(space: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("mine")
    for out, text in (
        (file, "cannot be written to: .*file is not a folder that you may write to"),
        (file / "run", "cannot be written to: .*file is not a folder"),
        (full, "got a folder that is no run and not empty; expected a new directory"),
    ):
        with pytest.raises(RunError, match=text):
            search(space, out=out, budget=2, **QUICK)
    assert file.read_text() == "mine"
    assert [f.name for f in full.iterdir()] == ["letter.txt"]
    for out in (tmp_path / "nowhere", full):
        with pytest.raises(RunError, match="got no run; expected the directory of one to resume"):
            search(None, out=out, resume=True)
    assert SCORED == []


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"generator": "evolutionn"},
        {"generator_options": {"populatoin": 3}},
        {"proxy": "quack"},
        {"fidelity": {"stepz": 3}},
        {"data": "/no/such/folder", "proxy": "short_training"},
        {"target": "abacus"},
        {"compare": ("hiera_tinny",)},
        {"address": "localhost"},
        {"seed": "x"},
    ],
)
def test_what_cannot_be_searched_leaves_nothing_behind(settings: dict, space: Path, tmp_path: Path) -> None:
    with pytest.raises(GasError) as error:
        search(space, out=tmp_path / "run", **{**QUICK, "budget": 2, **settings})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_search_needs_a_space(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="space: got none"):
        search(None, out=tmp_path / "run", **QUICK)
    with pytest.raises(SpaceError, match="no such file"):
        search("nothing.yaml", out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def damage(out: Path, what: str) -> None:
    file, _, kind = what.partition(" ")
    match kind:
        case "missing":
            (out / file).unlink()
        case "cut":
            content = (out / file).read_bytes()
            (out / file).write_bytes(content[: len(content) // 2])
        case "list":
            (out / file).write_text("[1, 2]")
        case "format":
            (out / file).write_text('{"format": 99}')
        case "lacking":
            (out / file).write_text('{"format": 1, "space": "a"}')
        case "status":
            with sqlite3.connect(out / file) as connection:
                connection.execute("UPDATE told SET status = 'fine'")
            connection.close()


DAMAGES = {
    "run.json missing": "got no run.json; expected the directory of a run",
    "run.json cut": "run.json: damaged: ",
    "run.json list": "run.json: damaged: got list; expected a mapping",
    "run.json format": "run.json: got 99; expected format 1",
    "run.json lacking": "run.json: damaged: it lacks 'against'",
    "references.json missing": "got no references.json",
    "references.json cut": "references.json: damaged: ",
    "space.yaml missing": "space.yaml: cannot be read: No such file",
    "space.yaml cut": "space.yaml:",
    f"{FILE} missing": "archive.sqlite: got no such file; expected the archive of a run",
    f"{FILE} cut": "archive.sqlite: damaged: ",
    f"{FILE} status": "archive.sqlite: damaged: table told, candidate 0: status is 'fine'",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    with quick_proxy():
        return search(written(folder), out=folder / "run", budget=3, compare=("hiera_tiny",), **QUICK).path


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_run_is_named_and_left_as_it_is(what: str, finished: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for file in finished.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    damage(out, what)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    commands = [["search", "--resume", str(out)]]
    commands += [["front", str(out)]] if not what.startswith(("references", "space")) else []
    for words in commands:
        assert main(words) == 2
        error = capsys.readouterr().err
        assert DAMAGES[what] in error or (what == "run.json missing" and "got no run" in error)
        assert all(line.startswith("gas: ") for line in error.splitlines())
    left = {file.name: file.read_bytes() for file in out.iterdir()}
    assert {name: left[name] for name in before} == before


def test_references_are_scored_once_and_with_their_own_costs(space: Path, tmp_path: Path) -> None:
    names = ("hiera_tiny", "zoo/turbovit")
    run = search(space, out=tmp_path / "run", budget=2, compare=names, **QUICK)
    assert set(run.references) == set(names)
    for name, (design, metrics) in run.references.items():
        assert design == gas.load(name)
        assert metrics["quick"] == small_search.score(design)
        assert metrics["macs"] == small_search.macs(design)
    search(None, out=run.path, resume=True, budget=3)
    ids = Counter(SCORED)
    assert {ids[design.id] for design, _ in run.references.values()} == {1}
    assert len(SCORED) == 3 + len(names)


def test_a_bound_on_the_score_decides_on_the_front(space: Path, tmp_path: Path) -> None:
    free = search(space, out=tmp_path / "free", budget=8, **QUICK).front()
    bound = float(free["quick"].median())
    text = space.read_text(encoding="utf-8") + f"constraints: {{proxy: {{min: {bound}}}}}\n"
    (tmp_path / "bounded.yaml").write_text(text, encoding="utf-8")
    run = search(tmp_path / "bounded.yaml", out=tmp_path / "bounded", budget=8, **QUICK)
    assert list(run.front()["id"]) == list(free.loc[free["quick"] >= bound, "id"])
    assert run.front()["verified"].all()
    (tmp_path / "bounded.yaml").write_text(text.replace("}}", ", of: hiera_tiny}}"), encoding="utf-8")
    with pytest.raises(SettingError, match=r"constraints.proxy.of: got 'hiera_tiny'"):
        search(tmp_path / "bounded.yaml", out=tmp_path / "relative", budget=2, **QUICK)
