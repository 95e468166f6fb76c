"""Places for Ray workers: what is known of each, and of the candidates that lie there."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gas.evaluators._work import Outcome, Task


class Phase(Enum):
    """How far the worker of a slot has come."""

    WAITING = "asked for, and not placed on any node yet"
    LOADING = "its process runs and loads its data"
    LIVE = "scores, or would"
    LOST = "cannot be reached; whether it or its node has died will be known"


@dataclass(frozen=True)
class Call:
    """A candidate that was sent to a worker.

    Args:
        ref: What Ray gave for its outcome.
        task: The candidate.
    """

    ref: Any
    task: Task


@dataclass
class Slot:
    """A place for a worker.

    Args:
        phase: Of the worker.
        actor: Its handle.
        talk: The call by which it says how it is; None where it is live.
        calls: Candidates on it in their order: the first is being scored, the others wait.
        since: When the first began, by `time.monotonic`: not before.
        due: When the worker is to be given up.
        name: `host:process`; empty where it has no place yet.
        node: Id of its node.
        starts: Attempts in a row at starting it that failed.
    """

    phase: Phase = Phase.WAITING
    actor: Any = None
    talk: Any = None
    calls: deque[Call] = field(default_factory=deque)
    since: float = 0.0
    due: float = math.inf
    name: str = ""
    node: str = ""
    starts: int = 0

    @property
    def live(self) -> bool:
        """Whether candidates can be sent to it."""
        return self.phase is Phase.LIVE

    @property
    def numbers(self) -> set[int]:
        """Of its candidates."""
        return {call.task.number for call in self.calls}

    @property
    def awaited(self) -> Any:
        """The call that will return next; None where there is none."""
        if self.talk is not None:
            return self.talk
        return self.calls[0].ref if self.calls else None

    def begins(self, now: float, limit_s: float) -> None:
        """The first of its candidates is being scored from now on, if there is one."""
        self.since = now
        self.due = now + limit_s if self.calls else math.inf

    def failed(self, reason: str, now: float) -> Outcome:
        """The outcome of the first of its candidates, of which the worker has nothing to say."""
        task = self.calls[0].task
        return Outcome(task.number, {}, reason, now - self.since, self.name, rung=task.rung)


def counted(number: int, noun: str = "worker") -> str:
    """`1 worker`, `3 workers`."""
    return f"{number} {noun}{'s' * (number != 1)}"
