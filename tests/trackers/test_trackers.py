"""Trackers beside a search: what they are told, once each, whatever becomes of them or of the search."""

from __future__ import annotations

import math
import struct
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from small_search import QUICK
from tensorboardX.proto import event_pb2

from gas.cli import main
from gas.errors import SettingError
from gas.run import Run, open_run
from gas.session import Session, search
from gas.trackers import Point, Trackers, trackers_of
from gas.trackers import mlflow as tracker_module

pytestmark = pytest.mark.usefixtures("quick")


def scalars(run: Path) -> dict[str, dict[int, float]]:
    """What stands in the event files: tag -> step -> value; fails where one stands twice."""
    found: dict[str, dict[int, float]] = {}
    for file in (run / "tensorboard").iterdir():
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack("<Q", data[at : at + 8])
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    steps = found.setdefault(value.tag, {})
                    assert event.step not in steps, f"{value.tag} {event.step} stands twice"
                    steps[event.step] = value.simple_value
    return found


def expected(run: Run) -> dict[str, dict[int, float]]:
    """The same, from the frame of the run."""
    rows = run.frame()
    rows = rows[rows["status"].isin(["ok", "failed"])].to_dict("records")
    found: dict[str, dict[int, float]] = {
        name: {} for name in ("objectives/quick", "objectives/macs", "best/quick", "seconds")
    }
    best = -math.inf
    for step, row in enumerate(rows, 1):
        found["seconds"][step] = row["seconds"]
        if row["status"] == "ok":
            best = max(best, row["quick"])
            found["objectives/quick"][step] = row["quick"]
            found["objectives/macs"][step] = float(row["macs"])
        if best > -math.inf:
            found["best/quick"][step] = best
    return found


def agree(got: dict[str, dict[int, float]], run: Run) -> None:
    wanted = expected(run)
    for name, steps in wanted.items():
        assert got[name] == {step: pytest.approx(value, rel=1e-6) for step, value in steps.items()}, name


def test_tensorboard_has_every_evaluation_once(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    search(space, out=out, budget=6, tensorboard=True, **QUICK)
    agree(scalars(out), open_run(out))
    assert len(scalars(out)["seconds"]) == 6
    with Session(None, out, resume=True, settings={"budget": 9}) as session:  # cut off: never run
        assert len(scalars(out)["seconds"]) == 6
        assert session.settings.tensorboard
    search(None, out=out, resume=True, budget=9)
    agree(scalars(out), open_run(out))
    assert len(scalars(out)["hypervolume"]) == len(scalars(out)["seconds"]) == 9
    other = tmp_path / "run" / "tensorboard" / "events.out.tfevents.mine"
    other.write_bytes(b"")
    search(None, out=out, resume=True, budget=10, tensorboard=False)
    assert len(scalars(out)["seconds"]) == 9
    search(None, out=out, resume=True, budget=10, tensorboard=True)  # what it missed is there again
    assert len(scalars(out)["seconds"]) == 10
    agree(scalars(out), open_run(out))
    assert other.exists()


def test_a_search_with_trackers_is_the_search_without(space: Path, tmp_path: Path) -> None:
    one = search(space, out=tmp_path / "a", budget=8, tensorboard=True, **QUICK).frame()
    two = search(space, out=tmp_path / "b", budget=8, **QUICK).frame()
    assert list(one["id"]) == list(two["id"])
    assert not (tmp_path / "b" / "tensorboard").exists()


class Client:
    """What the tracker asks of MLflow, in memory; one store per address."""

    stores: ClassVar[dict[str, SimpleNamespace]] = {}

    def __init__(self, tracking_uri: str) -> None:
        self.store = self.stores.setdefault(tracking_uri, SimpleNamespace(experiments={}, runs={}))

    def get_experiment_by_name(self, name: str) -> Any:
        return self.store.experiments.get(name)

    def create_experiment(self, name: str) -> str:
        self.store.experiments[name] = SimpleNamespace(experiment_id=name)
        return name

    def create_run(self, experiment_id: str, run_name: str, tags: dict[str, str]) -> Any:
        id = f"r{len(self.store.runs)}"
        fields = {"metrics": [], "params": {}, "tags": dict(tags), "status": "RUNNING", "artifacts": {}}
        self.store.runs[id] = SimpleNamespace(experiment=experiment_id, name=run_name, **fields)
        return SimpleNamespace(info=SimpleNamespace(run_id=id))

    def log_batch(self, run_id: str, metrics: tuple = (), params: tuple = ()) -> None:
        assert len(metrics) <= 1000
        self.store.runs[run_id].metrics += metrics
        self.store.runs[run_id].params |= {param.key: param.value for param in params}

    def get_metric_history(self, run_id: str, key: str) -> list:
        return [metric for metric in self.store.runs[run_id].metrics if metric.key == key]

    def update_run(self, run_id: str, status: str) -> None:
        self.store.runs[run_id].status = status

    set_terminated = update_run

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.store.runs[run_id].tags[key] = value

    def log_artifact(self, run_id: str, path: str) -> None:
        self.store.runs[run_id].artifacts[Path(path).name] = Path(path).read_text()


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    module.MlflowClient, module.entities = Client, entities
    entities.Param = lambda key, value: SimpleNamespace(key=key, value=value)
    entities.Metric = lambda key, value, timestamp, step: SimpleNamespace(
        key=key, value=value, timestamp=timestamp, step=step
    )
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(Client, "stores", {})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the tracker sets them where they are not set
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    return Client


def logged(run: Any) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for metric in run.metrics:
        steps = found.setdefault(metric.key, {})
        assert metric.step not in steps, f"{metric.key} {metric.step} stands twice"
        steps[metric.step] = metric.value
    return found


def test_mlflow_has_settings_points_and_front(space: Path, tmp_path: Path, mlflow: type[Client]) -> None:
    out = tmp_path / "run"
    search(space, out=out, budget=6, mlflow="here", **QUICK)
    (run,) = mlflow.stores["here"].runs.values()
    assert (run.name, run.experiment, run.status, run.tags["ended"]) == ("run", "small", "FINISHED", "budget")
    assert run.params["budget"] == "6"
    assert run.params["generator"] == "evolution"
    agree(logged(run), open_run(out))
    assert run.artifacts["front.csv"] == (out / "front.csv").read_text()
    before = open_run(out).frame()["seconds"].sum()
    search(None, out=out, resume=True, budget=9)
    (run,) = mlflow.stores["here"].runs.values()
    agree(logged(run), open_run(out))
    assert list(logged(run)["evaluations"]) == list(range(1, 10))
    assert open_run(out).frame()["seconds"].sum() >= before
    search(None, out=out, resume=True, budget=10, mlflow="there")  # another place gets all from the first
    (other,) = mlflow.stores["there"].runs.values()
    agree(logged(other), open_run(out))
    assert len(logged(run)["evaluations"]) == 9


def test_a_search_that_is_cut_off_says_so_and_goes_on(space: Path, tmp_path: Path, mlflow: type[Client]) -> None:
    out = tmp_path / "run"

    def watch(progress: Any) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(space, out=out, budget=6, mlflow="here", watch=watch, **QUICK)
    (run,) = mlflow.stores["here"].runs.values()
    assert run.status == "KILLED"
    assert len(logged(run)["evaluations"]) == 3
    search(None, out=out, resume=True)
    assert run.status == "FINISHED"
    agree(logged(run), open_run(out))
    assert len(logged(run)["evaluations"]) == 6


@pytest.mark.parametrize("method", ["create_run", "log_batch", "log_artifact", "set_terminated"])
def test_a_tracker_that_raises_is_switched_off(
    space: Path, tmp_path: Path, mlflow: type[Client], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(self: Client, *args: object, **options: object) -> None:
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(mlflow, method, broken)
    run = search(space, out=tmp_path / "run", budget=5, mlflow="here", tensorboard=True, **QUICK)
    assert len(run.frame().query("status in ['ok', 'failed']")) == 5
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("switched off") == 1
    assert "mlflow is switched off: ConnectionError: no route\n" in log
    assert len(scalars(tmp_path / "run")["seconds"]) == 5


def test_a_package_that_is_missing_is_told_before_anything_begins(
    space: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    for package, option in (("mlflow", {"mlflow": "x"}), ("tensorboardX", {"tensorboard": True})):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(SettingError, match=f"pip install {package}"):
            search(space, out=tmp_path / "run", **option, **QUICK)
        assert not (tmp_path / "run").exists()
    words = ["search", "--space", str(space), "--out", str(tmp_path / "run"), "--mlflow", "x", "--quiet"]
    assert main(words) == 2
    assert capsys.readouterr().err == ("gas: mlflow: got 'x', but no package mlflow; expected it: pip install mlflow\n")


@pytest.mark.slow
def test_the_options(space: Path, tmp_path: Path, mlflow: type[Client], capsys: pytest.CaptureFixture) -> None:
    out = str(tmp_path / "run")
    words = ["--generator", "random", "--proxy", "quick", "--workers", "1", "--quiet", "--budget", "3"]
    assert main(["search", "--space", str(space), "--out", out, "--mlflow", "m", "--tensorboard", *words]) == 0
    assert open_run(out).settings.mlflow == "m"
    assert main(["search", "--resume", out, "--mlflow", "none", "--no-tensorboard", "--budget", "4", "--quiet"]) == 0
    settings = open_run(out).settings
    assert (settings.mlflow, settings.tensorboard) == ("", False)
    assert len(logged(mlflow.stores["m"].runs["r0"])["evaluations"]) == len(scalars(Path(out))["seconds"]) == 3


def test_many_points_go_in_batches(tmp_path: Path, mlflow: type[Client]) -> None:
    evaluation = SimpleNamespace(ok=True, metrics={"a": 1.0, "b": 2.0}, seconds=0.5)
    points = [Point(step, evaluation, 10.0, 1.0, 2.0) for step in range(1, 501)]
    tracker = tracker_module.MLflow("here")
    record = {"objectives": [{"metric": "a"}, {"metric": "b"}], "space": "s", "versions": {"gas": "1"}}
    tracker.begin(tmp_path, record | {"settings": {"long": "x" * 900, "none": None}}, points)
    (run,) = mlflow.stores["here"].runs.values()
    counts = Counter(metric.key for metric in run.metrics)
    names = ("objectives/a", "objectives/b", "best/a", "hypervolume", "seconds", "evaluations")
    assert counts == dict.fromkeys(names, 500)
    assert len(run.params["long"]) == 500
    assert "none" not in run.params
    tracker.close()
    tracker.close()
    assert run.status == "KILLED"


def test_what_is_not_finite_is_not_told() -> None:
    failed = SimpleNamespace(ok=False, metrics={"macs": 3.0}, seconds=1.0)
    assert Point(1, failed, 0.0, math.nan, math.nan).values(["quick", "macs"]) == {"seconds": 1.0}


def test_nobody_is_told_where_there_is_no_tracker(tmp_path: Path) -> None:
    trackers = Trackers(trackers_of(tensorboard=False, mlflow=""), lambda line: None)

    def watch(progress: object) -> None:
        pass

    assert trackers.watched(watch) is watch
    trackers.note(SimpleNamespace(), 1, 1.0, 1.0)
    trackers.begin(tmp_path, {})
    trackers.finish(tmp_path, "budget")
    trackers.close()
