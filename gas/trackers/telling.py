"""Tells trackers of a search, and keeps the search from whatever becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gas.archive import rows_of
from gas.evaluation import Evaluation
from gas.trackers.base import Point, Tracker


def trackers_of(*, tensorboard: bool, mlflow: str) -> list[Tracker]:
    """The trackers that the settings ask for; SettingError where a package is missing."""
    found: list[Tracker] = []
    if tensorboard:
        from gas.trackers.tensorboard import TensorBoard

        found.append(TensorBoard())
    if mlflow:
        from gas.trackers.mlflow import MLflow

        found.append(MLflow(mlflow))
    return found


class Trackers:
    """Some trackers, or none; points wait until what they say is on the disk.

    Args:
        trackers: The trackers.
        log: Takes a line for each that is switched off.
    """

    def __init__(self, trackers: Sequence[Tracker], log: Callable[[str], None]) -> None:
        self._on = list(trackers)
        self._log = log
        self._waiting: list[tuple[Evaluation, int, float, float]] = []

    def note(self, evaluation: Evaluation, done: int, best: float, hypervolume: float) -> None:
        """Takes an evaluation that counts, replayed or new; it is told of later."""
        if self._on:
            self._waiting.append((evaluation, done, best, hypervolume))

    def begin(self, out: Path, record: Mapping[str, Any]) -> None:
        """Starts the trackers, with what was replayed."""
        if not self._on:
            return
        times = {row.values["number"]: row.time for row in rows_of(out) if row.kind == "told"}
        points = self._points(times)
        self._each(lambda tracker: tracker.begin(out, record, points))

    def watched(self, watch: Callable[[Any], None]) -> Callable[[Any], None]:
        """What watches a search, with the trackers told before it."""

        def both(progress: Any) -> None:
            self.tell()
            watch(progress)

        return both if self._on else watch

    def tell(self) -> None:
        """Tells what has come since."""
        if self._waiting:
            points = self._points({})
            self._each(lambda tracker: tracker.tell(points))

    def finish(self, out: Path, ended: str) -> None:
        """Tells that the search has ended."""
        self.tell()
        self._each(lambda tracker: tracker.finish(out, ended))

    def close(self) -> None:
        """Tells what has come, and lets go of the trackers; may be called again."""
        self.tell()
        self._each(lambda tracker: tracker.close())
        self._on = []

    def _points(self, times: Mapping[int, float]) -> list[Point]:
        waiting, self._waiting = self._waiting, []
        now = time.time()
        return [
            Point(done, evaluation, times.get(evaluation.candidate.number, now), best, hypervolume)
            for evaluation, done, best, hypervolume in waiting
        ]

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._on):
            try:
                call(tracker)
            except Exception as error:  # whatever another program's library raises, the search goes on
                self._on.remove(tracker)
                text = " ".join(str(error).split())[:300]
                self._log(f"{tracker.name} is switched off: {type(error).__name__}: {text}")
