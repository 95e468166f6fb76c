"""Proxies in the process of the search itself, one candidate at a time: for small searches, tests and debuggers."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType

from gas.costs import pinned
from gas.errors import SettingError, describe
from gas.evaluators._work import Outcome, OutOfTime, Task, Work, gpu_here, over_time, prepare, run_work, worker_name
from gas.evaluators.base import EVALUATORS, Evaluator

GRACE_S = 0.5
"""What a proxy gets beyond its limit to notice by itself, which leaves it tidier than being cut off, seconds."""


@EVALUATORS.register("in_process")
class InProcess(Evaluator):
    """Works on the oldest candidate whenever `collect` is called.

    A candidate that does not watch its deadline is cut off by a timer signal; off the main thread, and on systems
    without such timers, it is not. A candidate that brings the process down takes the search along.
    """

    def __init__(self, work: Work, *, workers: int | str = 1, address: str | None = None) -> None:
        super().__init__(work, workers=workers, address=address)
        if self.workers != 1:
            raise SettingError(f"workers: {describe(workers, '1 with the evaluator in_process; ray takes more')}")
        if address is not None:
            raise SettingError(f"address: {describe(address, 'none with the evaluator in_process')}")
        if work.gpus and not gpu_here():
            raise SettingError(f"worker_gpus: {describe(work.gpus, '0, because torch sees no GPU here')}")
        self._prepared = prepare(work)
        self._notes = self._prepared.notes()
        self._queue: deque[Task] = deque()

    def notes(self) -> list[str]:
        """See `Evaluator.notes`."""
        notes, self._notes = self._notes, []
        return notes

    def _start(self, task: Task) -> None:
        self._queue.append(task)

    def collect(self, timeout: float) -> list[Outcome]:
        """The outcome of the oldest candidate, however long it takes: the timeout bounds waiting, and nothing waits."""
        if not self._queue:
            return []
        task = self._queue[0]
        limit = self.work.limit_s
        try:
            # As many threads as on a Ray worker: the same scores, and no more of the machine than one worker takes.
            with pinned(self.work.threads), _cut_after(limit + GRACE_S):
                design = task.candidate.architecture.to_json()
                outcome = run_work(self._prepared, task.number, design, task.rung, task.state)
        except OutOfTime:  # between the end of the work and the end of the timer
            outcome = Outcome(task.number, {}, over_time(limit), limit + GRACE_S, worker_name(), rung=task.rung)
        self._queue.popleft()
        del self._submitted[task.number]
        return [outcome]

    def _stop(self) -> None:
        self._queue.clear()


@contextlib.contextmanager
def _cut_after(seconds: float) -> Iterator[None]:
    """Throws OutOfTime into the block once, after so many seconds.

    There is one such timer per process. The handler that stood before is put back, and its timer runs on.
    """
    possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds == math.inf or not possible:
        yield
        return

    def cut(signum: int, frame: FrameType | None) -> None:
        raise OutOfTime

    begin = time.monotonic()
    handler = signal.signal(signal.SIGALRM, cut)
    left, interval = 0.0, 0.0
    try:
        left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, handler)
        if left:  # at once, where its time came meanwhile
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 1e-3), interval)
