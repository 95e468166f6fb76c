"""Several runs as one: whether what is in it is what was in them, and when they are refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_search import BODY, QUICK, quick_proxy, within_copy, written

from gas.archive import Archive, event_times, rows_of
from gas.cli import main
from gas.errors import RunError
from gas.merging import merge
from gas.pareto import non_dominated
from gas.run import Run, open_run
from gas.session import search

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `run0` to `run2` over one space, and `wide` over another."""
    folder = tmp_path_factory.mktemp("runs")
    with quick_proxy():
        for seed in SEEDS:
            search(written(folder), out=folder / f"run{seed}", budget=12, seed=seed, **QUICK)
        other = written(
            folder, "wide.yaml", f"name: wide\n{BODY}\nobjectives: [{{maximise: proxy}}, {{minimise: params}}]\n"
        )
        search(other, out=folder / "wide", budget=3, **QUICK)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with within_copy(made, tmp_path, monkeypatch) as folder:
        yield folder


def change(run: str, **record: object) -> None:
    file = Path(run, "run.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | record))


def test_every_design_is_there_once(here: Path) -> None:
    merged = merge(["run0", "run1", "run2"], "all")
    frames = [open_run(f"run{seed}").frame() for seed in SEEDS]
    frame = merged.run.frame()
    assert sorted(frame["id"]) == sorted({id for one in frames for id in one["id"]})
    assert list(frame["number"]) == list(range(len(frame)))
    assert sum(merged.kept.values()) == len(frame)
    assert merged.dropped["evaluated in several runs"] + len(frame) == sum(
        (one["status"] != "duplicate").sum() for one in frames
    )
    columns = ["status", "reason", "seconds", "worker", "fidelity", "quick", "macs", "stages[0].dim", "architecture"]
    for row in frame.to_dict("records"):
        # The first run that has it as ok; else the first that has it.
        having = [
            (s, one[one["id"] == row["id"]].iloc[0]) for s, one in enumerate(frames) if (one["id"] == row["id"]).any()
        ]
        seed, first = next(((s, r) for s, r in having if r["status"] == "ok"), having[0])
        assert row["origin"] == f"{first['origin']} (run{seed}, candidate {first['number']})"
        for name in columns:
            assert row[name] == first[name] or (row[name] != row[name] and first[name] != first[name]), name


def test_the_front_is_that_of_all_and_the_rest_of_a_run_works(here: Path) -> None:
    run = merge(["run0", "run1", "run2"], "all").run
    rows = run.frame().query("status == 'ok'")
    best = rows[non_dominated(rows[["quick", "macs"]].astype(float).to_numpy() * [-1, 1])]
    assert sorted(run.front()["id"]) == sorted(best["id"])
    assert run.choice("knee")[0].id in set(best["id"])
    assert run.choose("best").id == run.architecture("chosen").id == run.front()["id"][0]
    assert (here / "all" / "front.csv").read_text() == run.front().to_csv(index=False)
    assert [told["name"] for told in run.record["merged"]] == ["run0", "run1", "run2"]
    assert run.settings.budget == len(run.frame())
    assert main(["front", "all"]) == 0
    assert len(open_run("all").front(where="macs < 1G")) == len(best)


@pytest.mark.slow
def test_a_design_of_a_merged_run_is_exported(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert merge(["run0", "run1"], "all").run.choose("knee")
    assert main(["export", "all", "chosen", "--out", "out"]) == 0
    assert "chosen: " in capsys.readouterr().out


def test_times_and_sums_are_those_of_the_events(here: Path) -> None:
    merge(["run0", "run1"], "all")
    before = {(r.kind, r.values["id"]): r.time for s in (1, 0) for r in rows_of(f"run{s}") if r.kind == "asked"}
    after = {(r.kind, r.values["id"]): r.time for r in rows_of("all") if r.kind == "asked"}
    assert {key: before[key] for key in after} == after
    assert len(event_times("all")) == len(rows_of("all"))
    with sqlite3.connect("all/archive.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM events WHERE sum IS NULL").fetchone() == (0,)
        connection.execute("UPDATE told SET metrics = '{}' WHERE number = 1")
    connection.close()
    with pytest.raises(RunError, match=r"damaged: .*is not as it was written"):
        open_run("all").frame()


def test_an_evaluation_that_is_ok_comes_before_one_that_failed(here: Path) -> None:
    one, two = (open_run(f"run{seed}").frame() for seed in (0, 1))
    shared = sorted(set(one.query("status == 'ok'")["id"]) & set(two.query("status == 'ok'")["id"]))[0]
    connection = sqlite3.connect("run0/archive.sqlite")
    with connection:
        connection.execute("UPDATE events SET sum = NULL")
        number = one.set_index("id")["number"][shared]
        connection.execute("UPDATE told SET status = 'failed', reason = 'dead' WHERE number = ?", (int(number),))
    connection.close()
    frame = merge(["run0", "run1"], "all").run.frame().set_index("id")
    assert frame["status"][shared] == "ok"
    assert frame["origin"][shared].endswith(f"(run1, candidate {two.set_index('id')['number'][shared]})")


def test_measurements_climbs_and_probes_come_along(here: Path) -> None:
    id = open_run("run1").front()["id"][0]
    measured = {"target": "cpu_eager", "batch": 1, "threads": 1, "q1_ms": 1.0, "q3_ms": 9.0, "repeats": 9}
    with Archive.open("run1") as archive:
        archive.measure(id, **measured, median_ms=4.0, reference="", ratio=None)
        archive.measure("f" * 12, **measured, median_ms=5.0)  # of no design of the run
    run = merge(["run0", "run1"], "all").run
    assert run.measured_latencies() == {id: 4.0}
    assert [row.values["median_ms"] for row in rows_of("all") if row.kind == "measured"] == [4.0]


@pytest.mark.parametrize(
    ("words", "change_to", "message"),
    [
        (["run0"], {}, "merge: got 1 run; expected two or more"),
        (["run0", "./run0"], {}, "merge: got run0 twice; expected each run once"),
        (["run0", "nothing"], {}, "nothing: got no such directory"),
        (
            ["run0", "wide"],
            {},
            "got the objectives maximise quick, minimise params in wide; expected those of run0, max",
        ),
        (
            ["run0", "run1"],
            {"scored": [{"name": "quick", "data": "mine", "fidelity": {"steps": 3}}]},
            "quick.data is 'mine' in run1, 'digits' in run0; quick.fidelity.steps is 3 in run1, 256 in run0; expected",
        ),
        (["run0", "run1"], {"scored": [{"name": "other"}]}, "proxies is 'other' in run1, 'quick' in run0"),
    ],
)
def test_what_is_not_alike_is_refused(here: Path, words: list[str], change_to: dict, message: str) -> None:
    change("run1", **change_to)
    with pytest.raises(RunError, match=message) as caught:
        merge(words, "all")
    assert "\n" not in str(caught.value)
    assert not Path("all").exists()
    assert not list(here.glob(".all*"))


def test_another_space_target_or_place_is_refused(here: Path) -> None:
    change("wide", objectives=open_run("run0").record["objectives"])
    with pytest.raises(RunError, match="merge: got the space wide in wide; expected that of run0"):
        merge(["run0", "wide"], "all")
    settings = open_run("run1").record["settings"]
    change("run1", settings={**settings, "target": "cpu_compiled", "batch": 4})
    with pytest.raises(
        RunError, match="target is 'cpu_compiled' in run1, 'cpu_eager' in run0; batch is 4 in run1, 1 in"
    ):
        merge(["run0", "run1"], "all")
    with pytest.raises(RunError, match="run2: got a directory that exists already; expected a new one"):
        merge(["run0", "run1"], "run2")
    with pytest.raises(RunError, match="cannot be written to"):
        merge(["run0", "run2"], "small.yaml/all")


def test_what_fails_half_way_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "front", stop)
    with pytest.raises(KeyboardInterrupt):
        merge(["run0", "run1"], "all")
    assert not Path("all").exists()
    assert not list(here.glob(".all*"))


def test_a_merged_run_is_not_resumed_but_merged_again(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["merge", "run0", "run1", "--out", "deep/two"]) == 0
    out = capsys.readouterr().out
    assert "run0: 12 candidates" in out
    assert "note: scores were made with different seeds (run0: 0; run1: 1)" in out
    assert main(["search", "--resume", "deep/two", "--quiet"]) == 2
    assert "got a merged run to resume; expected a run that a search made" in capsys.readouterr().err
    again = merge(["deep/two", "run2"], "all")
    assert sorted(again.run.frame()["id"]) == sorted(merge(["run0", "run1", "run2"], "three").run.frame()["id"])
    assert again.run.record["merged"][0]["merged"][1]["name"] == "run1"
