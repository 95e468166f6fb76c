"""What a report shows, read from a run once: so that all its parts speak of the same evaluations."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.archive import Archive, event_times
from gas.evaluation import Constraint, Objective
from gas.run import Run

if TYPE_CHECKING:
    import pandas as pd

RECORD = ("id", "number", "status", "reason", "origin", "seconds", "worker", "fidelity", "architecture", "verified")
"""Columns of a frame that are neither metrics nor decisions."""


@dataclass
class Contents:
    """A run as it stood at one moment.

    Args:
        run: The run.
        chosen: The design that `best` means; None as long as there is none.
        reason: Why that one, in words; or why there is none.
        front: As `Run.front` gives it.
        frame: As `Run.frame` gives it.
        events: Kind and time of each event.
        running: True where a search is writing to the run.
    """

    run: Run
    chosen: Architecture | None
    reason: str
    front: pd.DataFrame
    frame: pd.DataFrame
    events: list[tuple[str, float]]
    running: bool
    metrics: list[str] = field(init=False)
    decisions: list[str] = field(init=False)

    @classmethod
    def of(cls, run: Run) -> Contents:
        """What there is now; RunError where the run is damaged."""
        # The front before the frame: what a running search adds in between is then in the frame alone.
        chosen, reason = None, "no design has been evaluated with success yet"
        front = run.front()
        if len(front):
            chosen, reason = run.preferred()
        elif (run.frame()["status"] == "ok").any():
            reason = "no design meets every constraint as measured"
        frame = run.checks.beside(run.frame())
        return cls(run, chosen, reason, front, frame, event_times(run.path), is_running(run.path))

    def __post_init__(self) -> None:
        import pandas as pd

        # Of the candidates, not of the space: reading a space and counting what is in it may take seconds.
        with Archive.open(self.run.path, readonly=True) as archive:
            made = {path for evaluation in archive.evaluations() for path in evaluation.candidate.decisions}
        paths = made | {f"decisions.{path}" for path in made}
        self.decisions = [name for name in self.frame if name in paths]
        numeric = [name for name in self.frame if pd.api.types.is_numeric_dtype(self.frame[name].dtype)]
        held = [name for name in numeric if name not in (*RECORD, *paths) and self.frame[name].notna().any()]
        first = [o.metric for o in self.objectives]
        self.metrics = list(dict.fromkeys([name for name in first if name in held] + held))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What was searched for."""
        return self.run.objectives

    @property
    def pair(self) -> tuple[Objective, ...]:
        """The objectives; where there is but one, with what it costs, so that there is something to draw."""
        if len(self.objectives) > 1:
            return self.objectives
        return (*self.objectives, Objective("params" if self.objectives[0].metric == "macs" else "macs"))

    @cached_property
    def ok(self) -> pd.DataFrame:
        """The evaluations that are ok."""
        return self.frame[self.frame["status"] == "ok"].reset_index(drop=True)

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """All bounds, absolute: those that decide beforehand and those that a measurement decides."""
        return tuple(dict.fromkeys((*self.run.bounds, *self.run.measured_constraints)))

    @cached_property
    def marks(self) -> list[dict[str, Any]]:
        """See `Run.marks`."""
        return self.run.marks(self.frame)

    @cached_property
    def designs(self) -> dict[str, Architecture]:
        """Content id -> every design that was told of, and those beside the search."""
        texts = dict(zip(self.frame["id"], self.frame["architecture"], strict=True))
        found = {id: Architecture.from_json(text) for id, text in texts.items()}
        beside = [design for design, _ in self.run.references.values()] + list(self.run.prototypes.values())
        return found | {design.id: design for design in beside}

    @property
    def counted(self) -> int:
        """Evaluations of the budget that are done."""
        return int(self.frame["status"].isin(["ok", "failed", "stopped"]).sum())

    @property
    def in_flight(self) -> int:
        """Candidates asked for and not told of."""
        kinds = [kind for kind, _ in self.events]
        return kinds.count("asked") - kinds.count("told")

    @property
    def seconds(self) -> float:
        """From the first event to the last; 0 where there is none."""
        return self.events[-1][1] - self.events[0][1] if self.events else 0.0

    @property
    def state(self) -> str:
        """Where the search stands, in words."""
        budget = self.run.settings.budget
        if self.running:
            return f"running: {self.counted} of {budget} evaluations, {self.in_flight} in flight"
        ended = end_reason(self.run.path)
        if ended:
            return f"over: {ended}"
        return f"cut off after {self.counted} of {budget} evaluations; gas search --resume goes on"


def is_running(path: Path) -> bool:
    """True where a search holds the lock of a run's folder."""
    try:
        with (path / "lock").open() as held:
            # Shared, and let go of at once: what is asked is whether a search has it, never to keep one out.
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def end_reason(path: Path) -> str:
    """Why the search ended, in words, as its log says last; empty where it was cut off."""
    known = {"budget": "the budget is spent", "time": "the time is up", "exhausted": "nothing is left to propose"}
    try:
        lines = (path / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        text = line[21:]  # behind the time
        if text.startswith("ended ("):
            return known.get(text[7:].partition(")")[0], "it ended")
        if text.startswith(("began: ", "resumed: ", "candidate ")):
            return ""
    return ""
