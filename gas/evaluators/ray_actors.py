"""Proxies on Ray workers: one process and one CPU thread each, on this machine or on a cluster.

A worker that dies or hangs is replaced by a new one, and the candidate it had gets an outcome like any other.
"""

from __future__ import annotations

import contextlib
import math
import re
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from gas.errors import GasError, SettingError
from gas.evaluators._cluster import connect
from gas.evaluators._work import Outcome, Prepared, Task, Work, over_time, prepare, reason_of, run_work, worker_name
from gas.evaluators.base import EVALUATORS, Evaluator

START_S = 300.0
"""Time for a worker to start and to load its data, seconds."""

GRACE_S = 1.0
"""What a proxy gets beyond its limit to notice by itself, before its worker is killed, seconds."""

STARTS = 3
"""Attempts in a row at starting a worker."""


class Worker:
    """What runs in the worker's process."""

    def __init__(self, work: Work) -> None:
        import torch

        # Ctrl-C in a terminal goes to every process there; what becomes of the workers is for the search to say.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        torch.set_num_threads(1)
        self._work = work
        self._prepared: Prepared | None = None

    def ready(self) -> tuple[str, GasError | None]:
        """The worker's name once its proxies are loaded, or what is wrong with them."""
        try:
            self._prepared = prepare(self._work)
        except GasError as error:
            return worker_name(), error
        return worker_name(), None

    def score(self, number: int, architecture: str, rung: int, state: bytes) -> Outcome:
        """See `run_work`."""
        return run_work(self._prepared, number, architecture, rung, state)


@dataclass
class _Slot:
    """A place for a worker. With a call under way and no candidate, it is starting; without a call, it is idle."""

    actor: Any = None
    call: Any = None
    task: Task | None = None
    since: float = 0.0
    due: float = math.inf
    name: str = ""
    starts: int = 0


@EVALUATORS.register("ray")
class RayActors(Evaluator):
    """Keeps `workers` Ray actors at work; see `Evaluator`.

    Differs from Ray's own restarting of actors: a worker that dies is replaced by a new actor. A call to an actor that
    is being restarted fails in ways that cannot be told from a crash of the candidate it carries.
    """

    def __init__(self, work: Work, *, workers: int = 1, address: str | None = None) -> None:
        super().__init__(work, workers=workers, address=address)
        self._ours = connect(workers, address)
        import ray

        self._ray = ray
        self._actors = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)
        self._queue: deque[Task] = deque()
        self._deaths: Counter[int] = Counter()
        self._done: list[Outcome] = []
        self._slots = [_Slot() for _ in range(workers)]
        try:
            for slot in self._slots:
                self._launch(slot)
            while any(slot.call is not None for slot in self._slots):
                self._step(math.inf, strict=True)
        except BaseException:
            self.close()
            raise

    def _start(self, task: Task) -> None:
        self._queue.append(task)
        self._dispatch()

    def collect(self, timeout: float) -> list[Outcome]:
        """See `Evaluator.collect`.

        Raises:
            GasError: No worker is left, and none can be started.
        """
        end = time.monotonic() + timeout
        while len(self._submitted) > len(self._done) and not self._done:
            self._dispatch()
            self._step(end)
            if time.monotonic() >= end:
                break
        done, self._done = self._done, []
        for outcome in done:
            del self._submitted[outcome.number]
        return done

    def _stop(self) -> None:
        if not self._ray.is_initialized():
            return
        for slot in self._slots:
            self._kill(slot)
        if self._ours:
            self._ray.shutdown()

    def _dispatch(self) -> None:
        for slot in self._slots:
            if slot.call is None and self._queue:
                task = slot.task = self._queue.popleft()
                slot.since = time.monotonic()
                slot.due = slot.since + self.work.limit_s + GRACE_S
                design = task.candidate.architecture.to_json()
                slot.call = slot.actor.score.remote(task.number, design, task.rung, task.state)

    def _step(self, end: float, *, strict: bool = False) -> None:
        """Waits for the first of: a call that returns, one that is overdue, `end`; and deals with it.

        Where `strict`, a worker that does not start is an error at once.
        """
        calls = {slot.call: slot for slot in self._slots if slot.call is not None}
        if not calls:
            raise GasError("ray: got no worker that starts; expected one at least")
        wait = min([end, *(slot.due for slot in calls.values())]) - time.monotonic()
        returned, _ = self._ray.wait(list(calls), timeout=max(wait, 0.0) if wait < math.inf else None)
        for call in returned:
            self._receive(calls[call], strict)
        for slot in [slot for call, slot in calls.items() if call not in returned]:
            if time.monotonic() >= slot.due:
                self._overdue(slot, strict)

    def _receive(self, slot: _Slot, strict: bool) -> None:
        """Takes in what a call has come to."""
        errors = self._ray.exceptions
        task = slot.task
        try:
            value = self._ray.get(slot.call)
        except errors.RayError as error:
            raised = isinstance(error, errors.RayTaskError)  # the worker is well, and the call is not
            if task is None:
                self._not_started(slot, SettingError(f"ray: got a worker that does not start: {_told(error)}"), strict)
            elif raised:
                self._finish(slot, _failed(slot, _told(error)))
            else:
                self._died(slot, _told(error))
            return
        if task is not None:
            self._finish(slot, value)
            return
        slot.name, error = value
        if error is not None:
            self._not_started(slot, error, strict)
        else:
            slot.call, slot.due, slot.starts = None, math.inf, 0

    def _finish(self, slot: _Slot, outcome: Outcome) -> None:
        """The slot's candidate has come to an end, and the worker is free."""
        self._done.append(outcome)
        self._deaths.pop(outcome.number, None)
        slot.call, slot.task, slot.due = None, None, math.inf

    def _died(self, slot: _Slot, how: str) -> None:
        task = slot.task
        self._deaths[task.number] += 1
        if self._deaths[task.number] <= self.work.retries:
            self._queue.appendleft(task)
        else:
            self._finish(slot, _failed(slot, f"its worker was killed or crashed, {1 + self.work.retries} times: {how}"))
        self._launch(slot)

    def _overdue(self, slot: _Slot, strict: bool) -> None:
        if slot.task is None:
            free = int(self._ray.available_resources().get("CPU", 0))
            problem = (
                f"ray: got a worker that is not ready after {START_S:g} s; expected it by then ({free} CPUs are free)"
            )
            self._not_started(slot, SettingError(problem), strict)
            return
        reason = f"{over_time(self.work.limit_s)}, and its worker had to be killed"
        self._finish(slot, _failed(slot, reason))
        self._launch(slot)

    def _not_started(self, slot: _Slot, error: GasError, strict: bool) -> None:
        if strict:
            raise error
        slot.starts += 1
        if slot.starts < STARTS:
            self._launch(slot)
            return
        self._kill(slot)
        self._slots.remove(slot)
        if not self._slots:
            raise error

    def _launch(self, slot: _Slot) -> None:
        """Puts a new worker in the slot, in place of one that is dead or shall be."""
        self._kill(slot)
        slot.task = None
        slot.due = time.monotonic() + START_S
        slot.actor = self._actors.remote(self.work)
        slot.call = slot.actor.ready.remote()

    def _kill(self, slot: _Slot) -> None:
        if slot.actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(slot.actor, no_restart=True)
        slot.actor = None


def _failed(slot: _Slot, reason: str) -> Outcome:
    """The outcome of a candidate of which the worker has nothing to say."""
    return Outcome(slot.task.number, {}, reason, time.monotonic() - slot.since, slot.name, rung=slot.task.rung)


def _told(error: Exception) -> str:
    """What Ray says of a failure, without the worker's stack and Ray's advice."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return reason_of(cause)
    # Ray leaves out the exit code; of all it says, this much bears on why.
    if found := re.search(r"Worker exit type: (\w+) Worker exit detail: (.*?)(\.\s|$)", " ".join(str(error).split())):
        return f"{type(error).__name__}: {found[1]}: {found[2]}"
    return reason_of(error)
