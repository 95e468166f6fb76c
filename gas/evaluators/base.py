"""What an evaluator is: candidates go in, and exactly one outcome comes out for each, whatever became of its worker."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from gas import interrupts
from gas.errors import SettingError, describe
from gas.evaluation import Candidate
from gas.evaluators._work import Outcome, Task, Work
from gas.registry import Registry

PATIENCE_S = 0.25
AUTO = "auto"
"""In place of a number of workers: as many as there is room for."""


class Evaluator(ABC):
    """Runs the work on candidates, several at a time where it can. A context manager, closed at its end.

    Args:
        work: What is done to every candidate.
        workers: How many candidates are worked on at a time, at most; `auto`: as many as there is room for.
        address: Of the cluster to use; None for this machine.

    Raises:
        GasError: The work cannot be done at all (a proxy, its data or a setting is wrong), or not by so many workers.
    """

    def __init__(self, work: Work, *, workers: int | str = 1, address: str | None = None) -> None:
        number = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
        if not number and workers != AUTO:
            raise SettingError(f"workers: {describe(workers, 'a whole number of at least 1, or auto', known=[AUTO])}")
        self.work = work
        self.workers = workers if number else 1
        self.address = address
        self._submitted: dict[int, Task] = {}
        self._closed = False

    @property
    def capacity(self) -> int:
        """How many candidates it wants in flight; more may be submitted, and wait."""
        return self.workers

    @property
    def at_once(self) -> int:
        """How many candidates are worked on at a time at this moment."""
        return self.workers

    @property
    def pending(self) -> int:
        """Candidates submitted whose outcomes have not been collected."""
        return len(self._submitted)

    def submit(self, candidate: Candidate, rung: int = 0, state: bytes = b"") -> None:
        """Takes a candidate on, at a rung of the work's ladder.

        Raises:
            ValueError: One of its number is pending, or the evaluator is closed.
        """
        if self._closed:
            raise ValueError("submit: the evaluator is closed")
        if candidate.number in self._submitted:
            raise ValueError(f"submit: candidate {candidate.number} is pending")
        task = Task(candidate, rung, state)
        self._submitted[candidate.number] = task
        self._start(task)

    @abstractmethod
    def _start(self, task: Task) -> None:
        """Begins with a candidate, or queues it."""

    @abstractmethod
    def collect(self, timeout: float) -> list[Outcome]:
        """The outcomes that are there: waits for one at least, up to `timeout` seconds; none where none is pending.

        Each submitted candidate gives exactly one outcome. Where the wait is broken off (Ctrl-C), nothing is lost: a
        later call goes on.
        """

    def outcomes(
        self, candidates: Iterable[Candidate], *, rung: int = 0, until: float = math.inf
    ) -> Iterator[list[Outcome]]:
        """What comes of candidates, in whatever order, a few at a time; an empty list where nothing came for a moment.

        Args:
            candidates: Begun one after the other, as many as are worked on at a time.
            rung: Of the work's ladder.
            until: Time (`time.monotonic`) after which none is begun; those that were are waited for.

        Raises:
            KeyboardInterrupt: Ctrl-C, also where Python dropped it.
        """
        waiting = list(candidates)[::-1]
        while waiting or self.pending:
            while waiting and self.pending < max(self.at_once, 1) and time.monotonic() < until:
                self.submit(waiting.pop(), rung)
            if not self.pending:
                return
            interrupts.check()
            yield self.collect(PATIENCE_S)

    def notes(self) -> list[str]:
        """What has happened since the last call that a person may want to know: workers that came or went."""
        return []

    @abstractmethod
    def _stop(self) -> None:
        """Stops the workers and drops what is queued."""

    def close(self) -> None:
        """Stops the workers; what is pending has no outcome then. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._submitted.clear()
            self._stop()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


EVALUATORS: Registry[type[Evaluator]] = Registry("evaluator", "gas.evaluators")


def create(name: str, work: Work, *, workers: int | str = 1, address: str | None = None) -> Evaluator:
    """The evaluator registered as `name`, its workers ready to score.

    Raises:
        UnknownNameError: There is none of that name.
        GasError: See `Evaluator`.
    """
    return EVALUATORS.get(name)(work, workers=workers, address=address)
