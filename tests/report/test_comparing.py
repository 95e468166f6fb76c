"""Runs beside one another: the table against areas worked out by rectangles, the files, the refusals."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from small_search import QUICK, quick_proxy, within_copy, written

from gas.cli import main
from gas.errors import RunError, SettingError
from gas.pareto import hypervolume
from gas.report.comparing import FILES, REFERENCE, compare
from gas.report.comparing_figures import plot_comparison
from gas.run import Run, open_run
from gas.session import search


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    with quick_proxy():
        for seed in (0, 1):
            search(written(folder), out=folder / f"run{seed}", budget=12, seed=seed, **QUICK)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with within_copy(made, tmp_path, monkeypatch) as folder:
        yield folder


def rectangles(points: list[tuple[float, float]]) -> float:
    """The area that points dominate below (1.1, 1.1), strip by strip."""
    area, height = 0.0, REFERENCE
    for x, y in sorted(points):
        if x < REFERENCE and y < height:
            area += (REFERENCE - x) * (height - y)
            height = y
    return area


def scaled(rows: pd.DataFrame, fronts: pd.DataFrame) -> list[tuple[float, float]]:
    quick, macs = fronts["quick"], fronts["macs"].astype(float)
    x = (quick.max() - rows["quick"]) / (quick.max() - quick.min())
    y = (rows["macs"].astype(float) - macs.min()) / (macs.max() - macs.min())
    return list(zip(x, y, strict=True))


def test_the_table_and_the_curves_are_what_the_definitions_say(here: Path) -> None:
    runs = [open_run("run0"), open_run("run1")]
    found = compare(runs)
    fronts = pd.concat([run.front() for run in runs])
    best = 0.0
    for run, row in zip(runs, found.table, strict=True):
        frame = run.frame()
        frame = frame[frame["status"].isin(["ok", "failed"])]
        curve = found.curves.query("run == @row['run']")["hypervolume"].tolist()
        assert len(curve) == row["evaluations"] == len(frame) == 12
        for count in range(1, 13):
            ok = frame.head(count).query("status == 'ok'")
            assert curve[count - 1] == pytest.approx(rectangles(scaled(ok, fronts)))
        assert row["hypervolume"] == pytest.approx(hypervolume(scaled(run.front(), fronts), (REFERENCE, REFERENCE)))
        assert row["front"] == len(run.front())
        assert row["best_quick"] == run.front()["quick"].max()
        assert row["best_macs"] == run.front()["macs"].min()
        assert row["worker_s"] == pytest.approx(run.frame()["seconds"].sum())
        assert row["wall_s"] > 0
        best = max(best, row["hypervolume"])
    for row in found.table:
        curve = found.curves.query("run == @row['run']")["hypervolume"].tolist()
        for key, share in (("to_90%", 0.9), ("to_99%", 0.99)):
            reached = [i for i, value in enumerate(curve, 1) if value >= share * best]
            assert row[key] == (reached[0] if reached else None)
        assert row["hypervolume_share"] == pytest.approx(row["hypervolume"] / best)
    assert any(row["to_99%"] for row in found.table)


def test_the_best_run_reaches_all_of_its_own(here: Path) -> None:
    table = compare(["run0", "run1"], reach=(100,)).table
    assert [row["to_100%"] is not None for row in table] == [row["hypervolume_share"] == 1 for row in table]


def test_the_joint_front_is_that_of_both(here: Path) -> None:
    found = compare(["run0", "run1"])
    rows = found.fronts.to_dict("records")
    for row in rows:
        beaten = any(
            o["quick"] >= row["quick"]
            and o["macs"] <= row["macs"]
            and (o["quick"], o["macs"]) != (row["quick"], row["macs"])
            for o in rows
        )
        assert row["joint"] == (not beaten)
    together = {row["id"] for row in rows if row["joint"]}
    for told in found.table:
        mine = [row for row in rows if row["run"] == told["run"] and row["joint"]]
        assert told["joint"] == len(mine)
        assert told["joint_share"] == pytest.approx(len(mine) / len(together))


def test_the_common_scale_is_told_in_the_objectives_units(here: Path) -> None:
    found = compare(["run0", "run1"])
    fronts = pd.concat([open_run("run0").front(), open_run("run1").front()])
    high, low = fronts["quick"].max(), fronts["quick"].min()
    assert found.best[0] == pytest.approx(high)
    assert found.worst[0] == pytest.approx(low)
    assert found.reference[0] == pytest.approx(high - REFERENCE * (high - low))
    assert found.reference[1] > found.worst[1] > found.best[1]
    assert found.notes == (
        "scores were made with different seeds (run0: 0; run1: 1): their noise is in what is compared",
    )


@pytest.mark.slow
def test_the_command_prints_and_writes(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["compare", "run0", "run1", "--out", "a/b", "--reach", "50%,100"]) == 0
    out = capsys.readouterr().out
    for part in ("evaluations to 50%", "reference point", "of the best", "wrote a/b/compare.html"):
        assert part in out
    assert all((here / "a" / "b" / name).stat().st_size > 50 for name in FILES)
    assert (here / "a/b/compare.png").read_bytes().startswith(b"\x89PNG")
    page = (here / "a/b/compare.html").read_text()
    assert page.startswith("<!doctype html>")
    assert 'src="http' not in page
    rows = list(csv.DictReader((here / "a/b/fronts.csv").read_text().splitlines()))
    assert len(rows) == sum(len(open_run(run).front()) for run in ("run0", "run1"))
    before = (here / "a/b/compare.csv").read_text()
    assert main(["compare", "run0", "run1", "--out", "a/b"]) == 2
    assert "got compare.csv, curves.csv, fronts.csv, compare.png, compare.html there already" in capsys.readouterr().err
    assert (here / "a/b/compare.csv").read_text() == before
    assert main(["compare", "run0", "run1", "--out", "a/b", "--overwrite", "--json"]) == 0
    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == ["run0", "run1"]


def test_one_objective(here: Path) -> None:
    for seed in (0, 1):
        search(
            here / "small.yaml",
            out=here / f"one{seed}",
            budget=6,
            seed=seed,
            utility="proxy - 0.5 * log10(macs)",
            **QUICK,
        )
    found = compare(["one0", "one1"])
    assert [row["front"] for row in found.table] == [1, 1]
    best = max(row["best_utility"] for row in found.table)
    assert max(row["hypervolume"] for row in found.table) == pytest.approx(REFERENCE)
    assert found.best == (pytest.approx(best),)
    assert plot_comparison(found, here / "o.svg").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<b>x</b> & y"])
def test_names_are_no_markup(here: Path, name: str) -> None:
    safe = name.replace("/", "_")
    Path("run1").rename(safe)
    assert main(["compare", "run0", safe, "--out", "o"]) == 0
    page = Path("o/compare.html").read_text()
    assert "alert(1)<" not in page
    assert "<b>x" not in page


def test_refusals(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="compare: got 1 run; expected two or more"):
        compare(["run0"])
    with pytest.raises(RunError, match="compare: got run0 twice"):
        compare(["./run0", "run0"])
    for reach in ((0.0,), (101.0,)):
        with pytest.raises(SettingError, match="reach: got"):
            compare(["run0", "run1"], reach=reach)
    file = here / "run1" / "run.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"settings": record["settings"] | {"target": "cpu_compiled"}}))
    compare(["run0", "run1"])  # no latency is compared
    file.write_text(json.dumps(record | {"scored": [{"name": "quick", "fidelity": {"steps": 3}}]}))
    with pytest.raises(
        RunError, match=r"do not mean the same: quick.fidelity.steps is 3 in run1, 256 in run0; expected"
    ):
        compare(["run0", "run1"])
    file.write_text(json.dumps(record))
    monkeypatch.setattr(Run, "front", lambda self: pd.DataFrame())
    with pytest.raises(RunError, match="run0: got no front yet: 12 candidates"):
        compare(["run0", "run1"])
