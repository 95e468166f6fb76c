"""Runs that are stopped, killed and resumed: nothing is lost, and nothing is evaluated twice."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from small_search import BEGIN_S, QUICK, SCORED, command, timed_space, told, wait_for, written

from gas.cli import main
from gas.costs import latency
from gas.errors import SettingError
from gas.evaluation import Status
from gas.loop import Progress
from gas.run import open_run
from gas.session import Session, search

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Final measurements are real, but short."""

    def briefly(*args: object, **options: object) -> list:
        return latency(*args, **options | {"seconds": 0.2})

    monkeypatch.setattr("gas.verify.latency", briefly)


def test_the_same_seed_gives_the_same_candidates_and_another_seed_others(
    tmp_path: Path, short: None, monkeypatch
) -> None:
    """With one latency table: what is measured first holds for all."""
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    space = timed_space(tmp_path)
    first, second, other = (
        search(space, out=tmp_path / str(i), budget=9, seed=seed, **QUICK) for i, seed in enumerate((1, 1, 2))
    )
    assert told(first.path) == told(second.path)
    assert [number for number, *_ in told(first.path)] == list(range(9))
    assert [id for _, id, *_ in told(first.path)] != [id for _, id, *_ in told(other.path)]
    states = Counter(status for _, _, status, _ in told(first.path))
    assert states[Status.INFEASIBLE] > 0
    assert states[Status.OK] > 0
    # The relative bound decided by predictions, against the reference predicted from the same table.
    (bound,) = first.bounds
    assert bound.metric == "latency_ms_predicted"
    for _, _, status, metrics in told(first.path):
        assert (metrics["latency_ms_predicted"] > bound.high) == (status is Status.INFEASIBLE)
    # Everything on the front was measured, and so was the reference.
    front = first.front()
    assert front["latency_ms"].notna().all()
    assert first.references["reference.yaml"][0].id in first.measured_latencies()
    assert set(first.references["reference.yaml"][1]) == {"macs", "params", "quick", "quick_seed"}


def test_a_bound_that_a_run_began_with_holds_when_it_is_resumed(tmp_path: Path, short: None, monkeypatch) -> None:
    """A resumed run may meet another table: the machine is another one, or the cache is gone."""
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    run = search(timed_space(tmp_path), out=tmp_path / "run", budget=2, **QUICK)
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "other"))
    (tmp_path / "reference.yaml").unlink()  # the run has its own copy
    before = told(run.path)
    reference = run.references["reference.yaml"][0]
    measured = {id: ms for id, ms in run.measured_latencies().items() if id != reference.id}
    with Session(None, run.path, resume=True, settings={"budget": 4}) as session:
        session.run()
        assert session.bounds == run.bounds
    again = open_run(run.path)
    assert told(run.path)[: len(before)] == before
    assert {id: again.measured_latencies()[id] for id in measured} == measured  # and none is measured twice


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_search_that_is_stopped_halfway_goes_on_and_evaluates_nothing_twice(
    how: signal.Signals, space: Path, tmp_path: Path, capsys
) -> None:
    out, log = tmp_path / "my run", tmp_path / "log"
    options = ["--budget", 12, "--workers", 1, "--proxy", "quick", "--seed", 5, "--option", "start=4"]
    options += ["--generator", "evolution"]
    process = command("search", "--space", space, "--out", out, *options, QUICK_SECONDS="0.1", QUICK_LOG=str(log))
    wait_for(out, 3, process)
    os.kill(process.pid, how)
    _, errors = process.communicate(timeout=BEGIN_S)
    if how == signal.SIGINT:
        assert process.returncode == 130
        last = errors.splitlines()[-1]
        assert re.fullmatch(rf"gas: interrupted after \d+ evaluations; go on with: gas search --resume '{out}'", last)
        assert "Traceback" not in errors
    else:
        assert process.returncode == -how
    before = told(out)
    assert 3 <= len(before) < 12
    assert main(["search", "--resume", str(out)]) == 0
    after = told(out)
    assert after[: len(before)] == before
    assert [number for number, *_ in after] == list(range(12))
    # What was under way at the end was not evaluated to its end, and counts once.
    scored = Counter(log.read_text().split() + SCORED)
    assert set(scored) == {id for _, id, *_ in after}
    assert scored.total() <= 12 + 1
    unbroken = search(space, out=tmp_path / "whole", budget=12, seed=5, generator_options={"start": 4}, **QUICK)
    assert told(unbroken.path) == after
    assert "12 candidates" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_on_ray_that_is_killed_goes_on_and_evaluates_nothing_twice(tmp_path: Path) -> None:
    out = tmp_path / "run"
    slow = "resolution=32,batch=16,seeds=20"
    words = ["--space", "tiny.yaml", "--out", out, "--budget", 20, "--workers", 2, "--proxy", "pca_count"]
    process = command("search", *words, "--fidelity", slow)
    wait_for(out, 4, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=BEGIN_S)
    before = told(out)
    assert 4 <= len(before) < 20
    resumed = command("search", "--resume", out)
    output, errors = resumed.communicate(timeout=BEGIN_S)
    assert resumed.returncode == 0, errors
    after = told(out)
    assert after[: len(before)] == before
    assert sorted(number for number, *_ in after) == list(range(20))
    assert {status for *_, status, _ in after} == {Status.OK}
    assert "20 candidates (20 ok)" in output
    assert open_run(out).front()["pca_count"].notna().all()


def test_a_resumed_run_may_grow_and_remembers_how_far(space: Path, tmp_path: Path) -> None:
    run = search(space, out=tmp_path / "run", budget=4, **QUICK)
    assert search(None, out=run.path, resume=True, budget=6).settings.budget == 6
    search(None, out=run.path, resume=True)
    search(space, out=run.path, resume=True, limit_s=9.0)
    assert len(told(run.path)) == 6 == len(SCORED)
    assert json.loads((run.path / "run.json").read_text())["settings"]["limit_s"] == 9.0


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"seed": 1}, "seed: got 1; this run has 0, which cannot be changed"),
        ({"generator": "random"}, "generator: got 'random'; this run has 'evolution'"),
        ({"proxy": "pca_count"}, "proxy: got 'pca_count'; this run has 'quick'"),
        ({"fidelity": {"steps": 3}}, "fidelity: got {'steps': 3}; this run has {}"),
        ({"compare": ("hiera_tiny",)}, "compare: got"),
        ({"budgets": 4}, "search: got 'budgets'; expected one of .*; did you mean 'budget'"),
        ({"budget": 0}, "budget: got 0; expected greater than or equal to 1"),
    ],
)
def test_what_a_resumed_run_may_not_change(given: dict, text: str, space: Path, tmp_path: Path) -> None:
    run = search(space, out=tmp_path / "run", budget=2, **QUICK)
    with pytest.raises(SettingError, match=text):
        search(None, out=run.path, resume=True, **given)
    assert len(told(run.path)) == 2
    assert open_run(run.path).settings == run.settings


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("depth: 1", "depth: 2"),
        ("minimise: macs", "minimise: params"),
        ("name: small", "constraints: {params: {max: 1M}}"),
    ],
)
def test_a_run_is_not_resumed_with_another_space(old: str, new: str, space: Path, tmp_path: Path) -> None:
    run = search(space, out=tmp_path / "run", budget=2, **QUICK)
    other = written(tmp_path, "other.yaml", space.read_text().replace(old, new))
    with pytest.raises(SettingError, match=r"is not the space of .*; leave --space out"):
        search(other, out=run.path, resume=True)
    same = written(tmp_path, "same.yaml", f"# another comment\n{space.read_text()}")
    search(same, out=run.path, resume=True)


def test_a_search_over_budgeted_time_ends_in_time_and_can_go_on(space: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("QUICK_SECONDS", "0.05")
    out = tmp_path / "run"
    with Session(space, out, resume=False, settings={"budget": 30, "seconds": 0.5, **QUICK}) as session:
        assert session.run() == "time"
    done = len(told(out))
    assert done < 30
    monkeypatch.setenv("QUICK_SECONDS", "0")
    with Session(None, out, resume=True, settings={"seconds": None}) as session:
        assert session.run() == "budget"
    assert len(told(out)) == 30


def test_whatever_ends_a_session_lets_go_of_the_run(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(space, out=out, budget=4, watch=stop, **QUICK)
    done = len(told(out))
    assert done == 2
    search(None, out=out, resume=True)
    assert len(told(out)) == 4 == len(SCORED)
    session = Session(None, out, resume=True, settings={})
    session.close()
    session.close()
