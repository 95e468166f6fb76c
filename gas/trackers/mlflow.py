"""MLflow: one run of its experiment (named after the space) per search, with settings, points, and the final front.

Which run it is stands in the file `mlflow.json`, and what that run holds already is asked of MLflow itself; so a search
that goes on adds what lacks, and no point twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gas.disk import write_whole
from gas.errors import SettingError
from gas.trackers.base import Point, Tracker

FILE = "mlflow.json"
COUNT = "evaluations"  # comes last in each batch, so that a point that has it is whole
METRICS_AT_ONCE = 1000  # MLflow takes no more
LONGEST = 500  # characters of a parameter


class MLflow(Tracker):
    """Logs to an MLflow server or folder.

    Args:
        uri: Its tracking address.
    """

    name = "mlflow"

    def __init__(self, uri: str) -> None:
        try:
            import mlflow  # noqa: F401
        except ImportError as error:
            raise SettingError(
                f"mlflow: got {uri!r}, but no package mlflow; expected it: pip install mlflow"
            ) from error
        self._uri = uri
        self._client: Any = None
        self._run = ""
        self._ended = False
        self._objectives: list[str] = []

    def begin(self, out: Path, record: Mapping[str, Any], points: Sequence[Point]) -> None:
        """Starts MLflow's run, or takes up the one that the search has had, and logs the points that it lacks."""
        # A server that is away would else be asked for minutes, and the search would wait.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        self._objectives = [o["metric"] for o in record["objectives"]]
        held = 0
        if self._known(out):
            self._client.update_run(self._run, status="RUNNING")
            history = self._client.get_metric_history(self._run, COUNT)
            held = max((metric.step for metric in history), default=0)
        else:
            self._start(out, record)
        self.tell([point for point in points if point.step > held])

    def tell(self, points: Sequence[Point]) -> None:
        """Logs points."""
        from mlflow.entities import Metric

        batch: list[Any] = []
        for point in points:
            told = {**point.values(self._objectives), COUNT: float(point.step)}
            if len(batch) + len(told) > METRICS_AT_ONCE:
                self._client.log_batch(self._run, metrics=batch)
                batch = []
            batch += [Metric(name, value, int(point.time * 1000), point.step) for name, value in told.items()]
        if batch:
            self._client.log_batch(self._run, metrics=batch)

    def finish(self, out: Path, ended: str) -> None:
        """Hands over the front, and says that the run has ended."""
        self._client.log_artifact(self._run, str(out / "front.csv"))
        self._client.set_tag(self._run, "ended", ended)
        self._client.set_terminated(self._run, "FINISHED")
        self._ended = True

    def close(self) -> None:
        """Says that the run was cut off, where it has not ended."""
        if self._run and not self._ended:
            self._ended = True
            self._client.set_terminated(self._run, "KILLED")

    def _known(self, out: Path) -> bool:
        """Whether the search has a run there already."""
        try:
            told = json.loads((out / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        if told["uri"] != self._uri:
            return False
        self._run = told["run"]
        return True

    def _start(self, out: Path, record: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        experiment = self._client.get_experiment_by_name(record["space"])
        where = experiment.experiment_id if experiment else self._client.create_experiment(record["space"])
        tags = {"gas": record["versions"]["gas"], "gas_run": str(out.resolve())}
        self._run = self._client.create_run(where, run_name=out.resolve().name, tags=tags).info.run_id
        write_whole(out / FILE, json.dumps({"uri": self._uri, "run": self._run}))
        settings = {name: value for name, value in record["settings"].items() if value not in (None, "", [], {})}
        params = [Param(name, _text(value)) for name, value in settings.items()]
        self._client.log_batch(self._run, params=params)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
