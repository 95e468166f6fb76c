"""What the report says, part by part, each against another way to the same number."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import EVIL, FAIL_EVERY, empty_run, made_run

from gas.archive import FILE, event_times
from gas.cli import main
from gas.evaluation import Constraint
from gas.pareto import hypervolume
from gas.plan import plan
from gas.report.html import decisions, diagram, importance, tables, volume, waste
from gas.report.html.page import embedded, page
from gas.report.html.reading import Contents, end_reason, is_running
from gas.run import Run

COUNT = 50


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_run(tmp_path_factory.mktemp("made"), COUNT, probes=COUNT, measured=3)


@pytest.fixture(scope="module")
def contents(run: Run) -> Contents:
    return Contents.of(run)


@pytest.fixture(scope="module")
def text(contents: Contents) -> str:
    return page(contents)


def test_what_was_read_is_of_the_run(contents: Contents, run: Run) -> None:
    frame = run.frame()
    assert contents.counted == COUNT
    assert contents.in_flight == 0
    assert not contents.running
    assert contents.metrics[:2] == ["quick", "macs"]
    assert {d.path for d in run.space.decisions} >= set(contents.decisions)
    assert not set(contents.decisions) & set(contents.metrics)
    assert list(contents.ok["id"]) == list(frame.loc[frame["status"] == "ok", "id"])
    assert len(contents.events) == 2 * COUNT + 3
    assert [kind for kind, _ in event_times(run.path)].count("measured") == 3
    assert "cut off after 50 of 50" in contents.state


def test_the_hypervolume_is_that_of_all_designs_so_far(contents: Contents) -> None:
    """Worked out anew at each evaluation, from the definition of the reference point."""
    found = volume.curve(contents)
    rows = contents.frame[["quick", "macs"]].to_numpy(dtype=float, na_value=math.nan) * [-1, 1]
    known = rows[~np.isnan(rows[:, 0])]
    reference = known.max(axis=0) + 0.1 * np.ptp(known, axis=0)
    box = np.prod(reference - known.min(axis=0))
    assert len(found.values) == COUNT
    for at, value in zip(found.at, found.values, strict=True):
        assert value == pytest.approx(hypervolume(rows[:at], reference) / box, rel=1e-9)
    assert 0 < found.values[-1] <= 1
    assert "reference point: quick" in found.note


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)) | st.just((math.nan, 0.5)), min_size=1, max_size=12))
def test_volumes_grow_one_design_at_a_time(points) -> None:
    losses = np.array(points)
    grown = volume.volumes(losses, np.array([1.1, 1.1]))
    assert grown == pytest.approx([hypervolume(losses[: i + 1], [1.1, 1.1]) for i in range(len(losses))])


def test_places_of_decisions_lead_back_to_their_values(contents: Contents) -> None:
    axes = decisions.axes_of(contents.ok, contents.decisions)
    assert len(axes) > 5
    for axis in axes:
        column = contents.ok[axis.name]
        for place, value in zip(axis.places, column.astype("object"), strict=True):
            if place < 0:
                assert pd.isna(value)
            else:
                assert axis.choices[place] == (
                    f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
                )
        assert all(abs(s - p) <= decisions.SPREAD / 2 + 1e-9 for s, p in zip(axis.spread, axis.places, strict=True))
    assert any(axis.absent for axis in axes)
    assert decisions.label("stages[2].blocks[0].mixer.head_dim") == "2 mixer head dim"


def test_a_decision_that_decides_everything_is_found() -> None:
    rng = np.random.default_rng(0)
    places = rng.integers(0, 4, (3, 120))
    axes = [
        decisions.Axis(n, n, tuple(p.tolist()), ("a", "b", "c", "d"), ordered=n != "text")
        for n, p in zip(("strong", "text", "none"), places, strict=True)
    ]
    column = 10.0 * places[0] + 3.0 * (places[1] == 2) + rng.normal(0, 0.1, 120)
    found = importance.importance("m", axes, column, np.ones(120, dtype=bool))
    assert [name for name, _, _ in found.drops] == ["strong", "text", "none"]
    assert found.fit > 0.97
    # Shuffled, it differs by twice the variance that it explains on its own.
    share = np.var(10.0 * places[0]) / np.var(column)
    assert found.drops[0][1] == pytest.approx(2 * share, rel=0.15)
    assert abs(found.drops[2][1]) < 0.01
    noise = importance.importance("m", axes, rng.normal(0, 1, 120), np.ones(120, dtype=bool))
    assert noise.fit < importance.POOR
    assert "say little" in importance.fit_words([noise])
    assert "say little" not in importance.fit_words([found])


def test_too_few_evaluations_are_told_in_words(tmp_path: Path) -> None:
    few = Contents.of(made_run(tmp_path, 12))
    found, why = importance.importances(few)
    assert found == []
    assert why == f"{len(few.ok)} designs are ok; {importance.LEAST} are the least from which this is worked out."
    assert why in page(few)


def test_waste_is_saliency_over_cost(contents: Contents) -> None:
    found = waste.waste(contents)
    assert found.cost == "macs"
    assert found.ids[0] == contents.chosen.id
    blocks = plan(contents.chosen).blocks
    total = sum(b.cost.macs for b in blocks)
    for stage, ratio in enumerate(found.ratios[0]):
        mine = [b for b in blocks if b.stage == stage]
        assert ratio == pytest.approx(len(mine) / len(blocks) / (sum(b.cost.macs for b in mine) / total))


def test_the_diagram_has_a_box_for_each_block_and_all_macs_in_its_bar(contents: Contents) -> None:
    boxes, labels, height = diagram.layout(contents.chosen)
    depth = sum(contents.chosen.depths)
    blocks = [b for b in boxes if "blocks[" in b.words]
    assert len(blocks) == depth
    bar = [b for b in boxes if b.y == diagram.HIGH + 108]
    assert sum(b.w + 1 for b in bar) == pytest.approx(diagram.WIDE, abs=1)
    assert all(b.x >= 0 and b.x + b.w <= diagram.WIDE + 1e-6 and b.y + b.h <= height for b in boxes)
    dims = {label.text for label in labels}
    assert {f"dim {dim}" for dim in contents.chosen.dims} <= dims


def test_the_page_holds_nothing_of_a_run_but_text(text: str) -> None:
    assert EVIL not in text
    assert text.count("<script") - text.count('createElement("script') >= 3
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert "<" not in data
    told = json.loads(data)
    assert any(EVIL in about[3] for about in told["about"])
    assert not re.search(r'(src|href)="(?!#|data:)', text.split("<script>")[0])


def test_the_page_says_what_it_must(text: str, run: Run) -> None:
    assert "multiply-adds (papers&#39; FLOPs)" in text
    assert f"{COUNT} of {COUNT}" in text
    assert "a score, not an accuracy" in text
    assert "latency, predicted" in text
    assert f"{COUNT // FAIL_EVERY} failed" in text
    assert run.record["versions"]["torch"] in text
    assert str(run.settings.seed) in text


def test_tables_carry_their_numbers(contents: Contents) -> None:
    table = tables.front_table(contents)
    at = [heading for heading, _ in table.headings].index("macs")
    assert [cells[at].value for cells in table.rows] == contents.front["macs"].astype(float).tolist()
    assert table.headings[at][1]
    assert table.ids == tuple(contents.front["id"])
    unknown = [cell for cells in table.rows for cell in cells if cell.text == ""]
    assert unknown
    assert all(cell.key == "" for cell in unknown)


def test_texts_are_kept_once(contents: Contents) -> None:
    texts = tables.Texts()
    id = contents.chosen.id
    rows = tables.block_tables(contents, [id, id], texts)[id]
    assert len(set(texts.listed)) == len(texts.listed)
    assert texts.listed[rows[0][3]] == "conv_embed"


@settings(max_examples=40)
@given(
    st.recursive(
        st.text() | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_embedded_comes_out_as_it_went_in(data) -> None:
    text = embedded(data)
    assert json.loads(text) == data
    assert not set(text) & set("<>&\u2028\u2029")


def test_a_run_in_which_nothing_came_back_is_a_page(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    text = page(Contents.of(run))
    assert "no design has been evaluated with success yet" in text
    assert "0 of 1" in text
    assert main(["report", str(run.path)]) == 0
    assert (run.path / "report.html").stat().st_size > 1e6


def test_a_run_in_which_everything_failed_is_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("made_runs.FAIL_EVERY", 1)
    text = page(Contents.of(made_run(tmp_path, 3)))
    assert "Nothing is chosen: no design has been evaluated with success yet" in text
    assert text.count("loss is nan") >= 3


def test_a_run_that_is_being_written_to_is_running(run: Run) -> None:
    from gas.records import take_lock

    assert not is_running(run.path)
    with take_lock(run.path):
        assert is_running(run.path)
        assert "running: 50 of 50 evaluations" in Contents.of(run).state
    assert not is_running(run.path)
    assert not is_running(run.path / "missing")


def test_why_a_search_ended_stands_in_its_log(tmp_path: Path) -> None:
    log, stamp = tmp_path / "log.txt", "2026-01-01 00:00:00  "
    assert end_reason(tmp_path) == ""
    log.write_text(f"{stamp}began: x\n{stamp}candidate 0 ok\n{stamp}ended (time): 1 evaluations\n")
    assert end_reason(tmp_path) == "the time is up"
    log.write_text(log.read_text() + f"{stamp}resumed: x\n")
    assert end_reason(tmp_path) == ""


@pytest.mark.slow
def test_the_command_writes_the_page_and_the_pictures(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, folder = tmp_path / "a.html", tmp_path / "figures"
    assert main(["report", str(run.path), "--out", str(out), "--static", str(folder)]) == 0
    wrote = [Path(line.removeprefix("wrote ")) for line in capsys.readouterr().out.splitlines()]
    assert wrote[0] == out
    assert sorted(wrote[1:]) == sorted(folder.iterdir())
    names = {"front", "volume", "decisions", "importance", "latency", "probes", "diagram"}
    assert {file.name for file in wrote[1:]} == {f"{name}{suffix}" for name in names for suffix in (".png", ".svg")}
    assert all(file.stat().st_size > 2000 for file in wrote)
    before = out.read_bytes()
    for words, part in (
        (["--out", str(out)], f"gas: {out}: got a file that exists already; expected a new one, or --overwrite\n"),
        (["--static", str(folder)], "got a file that exists already; expected a new one, or --overwrite\n"),
        (["--out", str(tmp_path / "no" / "a.html")], f"got no folder {tmp_path / 'no'}; expected one that exists\n"),
        (["--out", str(tmp_path)], "got a folder; expected a file, such as"),
        (["--static", str(out)], f"gas: {out}: got a file; expected a folder\n"),
    ):
        assert main(["report", str(run.path), *words]) == 2
        told = capsys.readouterr().err
        assert part in told
        assert told.count("\n") == 1
    assert out.read_bytes() == before
    assert main(["report", str(run.path), "--out", str(out), "--overwrite"]) == 0


def test_what_is_no_run_or_damaged_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = made_run(tmp_path, 3)
    file = run.path / FILE
    file.write_bytes(b"SQLite format 3\0" + bytes(4096))
    for command in ("report", "watch"):
        for where, part in (
            (tmp_path / "none", "got no such directory"),
            (tmp_path, "got no run.json"),
            (run.path, FILE),
        ):
            assert main([command, str(where)]) == 2
            told = capsys.readouterr().err
            assert part in told
            assert told.startswith("gas: ")
            assert told.count("\n") == 1


def test_bounds_that_refute_keep_designs_out_of_the_volume(contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    best = float(contents.ok["quick"].max())
    monkeypatch.setattr(Contents, "bounds", (Constraint("quick", high=best - 1e-9),))
    assert f"quick {best:.4g}" not in volume.curve(contents).note
    assert len(volume.curve(contents).values) == COUNT
