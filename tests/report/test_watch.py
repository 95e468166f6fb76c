"""`gas watch`: searches as they go on, are over, or were cut off."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import made_run
from small_search import QUICK, command, quick_proxy, wait_for, written

from gas.archive import Archive, event_times
from gas.cli import main
from gas.errors import SettingError
from gas.evaluation import Candidate, Evaluation, Status
from gas.records import take_lock
from gas.report.watch import BARS, sparkline, standing, watch_run
from gas.run import Run
from gas.session import search


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_run(tmp_path_factory.mktemp("made"), 30)


def test_how_it_stands_is_what_the_run_holds(run: Run) -> None:
    now = standing(run)
    front = run.front()
    assert (now.done, now.budget, now.in_flight, now.running) == (30, 30, 0, False)
    assert now.counts == {"ok": 27, "failed": 3}
    assert now.best == front["quick"].max()
    assert [row["id"] for row in now.front] == list(front["id"])
    assert now.reasons == [(run.frame().query("status == 'failed'")["reason"].iloc[0], 3)]
    assert now.hypervolume[-1] == max(now.hypervolume)
    assert all(id in now.table for id in front["id"].head(10))
    assert "30/30 evaluations, 3 failed" in now.line
    told = [at for kind, at in event_times(run.path) if kind == "told"][-21:]
    assert now.per_minute == pytest.approx(60 * 20 / (told[-1] - told[0]))


def test_once_prints_and_ends(run: Run, capsys: pytest.CaptureFixture) -> None:
    assert main(["watch", str(run.path), "--once"]) == 0
    assert capsys.readouterr().out == standing(run).text + "\n"
    assert main(["watch", str(run.path), "--once", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["counts"]["failed"], len(told["front"])) == (30, 3, len(run.front()))
    assert told["seconds_left"] is None


def test_a_search_that_is_over_is_shown_once_also_on_a_terminal(run: Run) -> None:
    piped, terminal = io.StringIO(), Terminal()
    for stream in (piped, terminal):
        watch_run(str(run.path), stream=stream, sleep=lambda _: pytest.fail("there is nothing to wait for"))
    assert piped.getvalue() == standing(run).text + "\n"
    assert run.front()["id"].iloc[0] in terminal.getvalue()


def test_every_change_is_a_line_until_the_search_is_over(tmp_path: Path) -> None:
    run = made_run(tmp_path, 5)
    stream, held = io.StringIO(), take_lock(run.path)
    space, rng = run.space, np.random.default_rng(9)
    turns = 0

    def sleep(seconds: float) -> None:
        nonlocal turns
        assert seconds == 0.5
        turns += 1
        if turns == 3:
            held.close()
            return
        if turns == 2:  # nothing happens in between
            return
        with Archive.open(run.path) as archive:
            found = space.realise(lambda _, allowed: allowed[rng.integers(len(allowed))])
            made = Candidate(5, found.architecture, "random", found.decisions)
            archive.ask(made)
            archive.tell(Evaluation(made, Status.OK, {"quick": 99.0, "macs": 1.0, "params": 1.0}), "w", "{}")

    watch_run(str(run.path), every="0.5s", stream=stream, sleep=sleep)
    lines = stream.getvalue().splitlines()
    block = lines.index(next(line for line in lines if line.startswith("6/5 evaluations")))
    assert "running" in lines[0]
    assert "best quick 99" in lines[block]
    assert lines[-1].startswith("cut off")
    assert len([line for line in lines if line.startswith("6/5")]) <= 2


def test_ctrl_c_ends_it_without_a_word_of_complaint(run: Run, capsys: pytest.CaptureFixture) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    for stream in (io.StringIO(), Terminal()):
        with take_lock(run.path):
            watch_run(str(run.path), stream=stream, sleep=stop)
        assert stream.getvalue().endswith("\n")
    assert capsys.readouterr().err == ""


def test_bad_settings_are_told(run: Run) -> None:
    with pytest.raises(SettingError, match="every: got 'soon'; expected a duration such as"):
        watch_run(str(run.path), every="soon")
    with pytest.raises(SettingError, match="json: got --json without --once"):
        watch_run(str(run.path), as_json=True)


def test_a_real_search_that_is_over_says_why(tmp_path: Path) -> None:
    with quick_proxy():
        run = search(written(tmp_path), out=tmp_path / "run", budget=6, **QUICK)
    assert standing(run).state == "over: the budget is spent"


@pytest.mark.slow
def test_a_search_in_another_process_is_watched_and_reported_while_it_runs(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("search", "--space", written(tmp_path), "--out", out, "--budget", 12, "--proxy", "quick", "--workers", 1)
    process = command(*words, "--generator", "random", QUICK_SECONDS="0.5")
    try:
        wait_for(out, 3, process)
        now = standing(Run(out))
        assert now.running
        assert 3 <= now.done <= 12
        assert now.state.startswith("running: ")
        assert now.seconds_left is None or now.seconds_left > 0
        assert main(["report", str(out)]) == 0
        assert "running: " in (out / "report.html").read_text(encoding="utf-8")
        stream = io.StringIO()
        watch_run(str(out), every="0.2s", stream=stream)  # until it is over
        assert stream.getvalue().splitlines()[-1].endswith("over: the budget is spent")
    finally:
        process.communicate(timeout=120)
    assert standing(Run(out)).done == 12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_sparkline_rises_where_its_numbers_do(numbers) -> None:
    numbers = sorted(numbers)
    bars = sparkline(numbers)
    assert len(bars) == min(len(numbers), 40)
    assert [BARS.index(bar) for bar in bars] == sorted(BARS.index(bar) for bar in bars)
    if numbers[0] < numbers[-1]:
        assert (bars[0], bars[-1]) == (BARS[0], BARS[-1])
