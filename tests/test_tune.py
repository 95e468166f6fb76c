"""gas inside Ray Tune. What needs no cluster is tried by calling the searcher as Tune does."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from small_search import QUICK, SPACE, macs, quick_proxy, score, written

from gas.evaluation import Status
from gas.run import open_run

pytest.importorskip("ray.tune")
from ray.tune.search import Searcher

from gas.architecture import Architecture
from gas.tune import GasSearch

PLAIN = {name: value for name, value in QUICK.items() if name != "workers"}
BOUNDED = f"{SPACE}\nconstraints: {{macs: {{max: 12M}}}}\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    with quick_proxy():
        yield


def said(config: dict, rung: int = 0, share: float = 1.0) -> dict:
    """What a trial reports of a design."""
    design = Architecture.from_json(config["design"])
    return {
        "quick": share * score(design),
        "quick_seed": 0.0,
        "rung": rung,
        "seconds": 0.5,
        "worker": "here:1",
        "pid": 9,
    }


def test_candidates_become_trials_and_trials_become_evaluations(tmp_path: Path) -> None:
    with GasSearch(written(tmp_path, text=BOUNDED), tmp_path / "run", budget=6, **PLAIN) as search:
        assert search.budget == 6
        for index in range(6):
            config = search.suggest(f"trial{index}")
            assert macs(Architecture.from_json(config["design"])) <= 12e6
            if index == 2:
                search.on_trial_complete("trial2", error=True)
            else:
                search.on_trial_result(f"trial{index}", said(config))
                search.on_trial_complete(f"trial{index}", said(config))
        assert search.suggest("more") == Searcher.FINISHED
        assert search.budget == 0
        run = search.finish()
    frame = run.frame()
    counted = frame[frame["status"].isin(["ok", "failed"])]
    assert counted["status"].value_counts().to_dict() == {"ok": 5, "failed": 1}
    assert counted["reason"].max() == "its Ray Tune trial failed; see the trial's error.txt"
    for _, row in counted[counted["status"] == "ok"].iterrows():
        assert row["quick"] == score(Architecture.from_json(row["architecture"]))
    assert len(run.front()) > 0


def test_trials_in_any_number_and_order(tmp_path: Path) -> None:
    with GasSearch(written(tmp_path), tmp_path / "run", budget=5, **PLAIN) as search:
        configs = {f"t{n}": search.suggest(f"t{n}") for n in range(5)}
        assert len({config["design"] for config in configs.values()}) == 5
        assert search.suggest("t5") == Searcher.FINISHED
        for trial in ("t3", "t0", "t4"):
            search.on_trial_complete(trial, said(configs[trial]))
        search.on_trial_complete("t3", said(configs["t3"]))  # told twice, counted once
        search.on_trial_complete("stranger", {"rung": 0})
    left = sorted(config["number"] for trial, config in configs.items() if trial in ("t1", "t2"))
    kept = pickle.dumps(search)  # by Tune, to restore an experiment
    assert len(kept) < 1_000
    assert copy.deepcopy(search) is search
    with pickle.loads(kept) as again:  # what was cut off comes first
        assert again.budget == 2
        assert sorted(again.suggest(f"u{n}")["number"] for n in range(2)) == left


def test_a_trial_stopped_by_a_scheduler_is_told_as_stopped(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("small_search.Quick.resumable", True, raising=False)
    ladder = [{"steps": 8}, {"steps": 16}]
    with GasSearch(written(tmp_path), tmp_path / "run", budget=2, ladder=ladder, **PLAIN) as search:
        first, second = search.suggest("a"), search.suggest("b")
        for rung in range(3):
            search.on_trial_result("a", said(first, rung, 0.8 + 0.1 * rung))
        search.on_trial_complete("a", said(first, 2))
        search.on_trial_result("b", said(second, 0, 0.8))
        search.on_trial_result("b", said(second, 1, 0.9))
        search.on_trial_complete("b", said(second, 1, 0.9))
        archive = search._session.archive
        climbs = [(c.candidate.number, c.rung, c.goes_on) for c in archive.climbs()]
        told = {e.candidate.number: e for e in archive.evaluations()}
    a, b = first["number"], second["number"]
    assert climbs == [(a, 0, True), (a, 1, True), (b, 0, True), (b, 1, False)]
    assert (told[a].status, told[b].status) == (Status.OK, Status.STOPPED)
    assert told[a].seconds == pytest.approx(1.5)
    gain = told[a].metrics["quick"] * 0.1
    assert told[b].metrics["quick_predicted"] == pytest.approx(0.9 * score(told[b].candidate.architecture) + gain)


@pytest.mark.slow
def test_under_tune_with_a_scheduler_and_a_logger(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import tune
    from ray.tune.logger import TBXLoggerCallback
    from ray.tune.schedulers import ASHAScheduler

    fidelity = {"steps": 24, "images": 128, "validation": 128, "batch": 16}
    settings = {"proxy": "short_training", "generator": "evolution", "fidelity": fidelity, "budget": 7}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with GasSearch("tiny.yaml", tmp_path / "run", ladder=[{"steps": 8}, {"steps": 16}], **settings) as search:
            scheduler = ASHAScheduler(
                time_attr="steps", metric="short_training", mode="max", grace_period=8, max_t=24, reduction_factor=2
            )
            tuner = tune.Tuner(
                search.trainable(),
                tune_config=tune.TuneConfig(
                    search_alg=search,
                    scheduler=scheduler,
                    num_samples=search.budget,
                    max_concurrent_trials=2,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=str(tmp_path / "tune"), name="t", verbose=0, callbacks=[TBXLoggerCallback()]
                ),
            )
            results = tuner.fit()
            run = search.finish()
    finally:
        ray.shutdown()
    assert not results.errors
    assert len(results) == 7
    frame = run.frame().set_index("number")
    states = frame["status"].value_counts().to_dict()
    assert states["ok"] + states["stopped"] == 7
    assert states["stopped"] >= 1
    for result in results:  # Tune and gas know the same
        row = frame.loc[result.config["number"]]
        if row["status"] == "ok":
            assert row["short_training"] == result.metrics["short_training"]
            assert result.metrics["steps"] == 24
        else:
            assert result.metrics["steps"] < 24
    assert list((tmp_path / "tune").rglob("events.out.tfevents*"))
    assert open_run(tmp_path / "run").choice()
