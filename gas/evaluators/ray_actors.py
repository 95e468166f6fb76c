"""Proxies on Ray workers: one process each, on this machine or on a cluster whose nodes may come and go.

Every worker has its next candidate lying there when it comes to the end of one, so it need not wait for the search,
which may be busy proposing. A worker that dies or hangs is replaced by a new one, and the candidate that it was scoring
gets an outcome like any other; those that only lay there go to other workers, as if nothing had been.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections import Counter, deque
from itertools import islice
from typing import Any

from gas.errors import GasError, SettingError
from gas.evaluators._cluster import answers, connect, fits, resources
from gas.evaluators._slots import Call, Phase, Slot, counted
from gas.evaluators._work import Outcome, Task, Work, over_time, reason_of
from gas.evaluators._worker import Worker
from gas.evaluators.base import AUTO, EVALUATORS, Evaluator

START_S = 300.0
"""Time for a worker to start and to load its data, and for a cluster without any worker to find room for one, s."""

GRACE_S = 1.0
"""What a proxy gets beyond its limit to notice by itself, before its worker is killed, seconds."""

LOST_S = 30.0
"""How long to wait for word of a worker that cannot be reached, before others get its candidates, seconds."""

STARTS = 3
"""Attempts in a row at starting a worker."""

AHEAD = 1
"""Candidates that lie waiting at a worker beside the one that it scores."""

LOSSES = 10
"""Nodes that may go away under a candidate. It is not blamed for them, but it may be what brings them down."""

LOOK_S = 1.0
"""How often to look which nodes a cluster has, seconds."""

BYTES_S = 10e6
"""How fast what a training left travels at least, bytes a second: so much later its candidate may begin."""


@EVALUATORS.register("ray")
class RayActors(Evaluator):
    """Keeps up to `workers` Ray actors at work; see `Evaluator`.

    With an address, workers for which the cluster has no room are asked for all the same: they begin once nodes join,
    and the request is what makes Ray's autoscaler add some. `auto` are as many as the cluster has room for at any
    time; on this machine, as many as it has cores.

    Differs from Ray's own restarting of actors: a worker that dies is replaced by a new actor. A call to an actor that
    is being restarted fails in ways that cannot be told from a crash of the candidate it carries.
    """

    def __init__(self, work: Work, *, workers: int | str = 1, address: str | None = None) -> None:
        super().__init__(work, workers=workers, address=address)
        self._elastic = address is not None
        self._outside = (address or "").startswith("ray://")  # and cannot see the nodes
        self._auto = workers == AUTO and self._elastic
        if workers == AUTO:
            self.workers = 1 if self._elastic else max(1, (os.cpu_count() or 1) // work.threads)
        self._queue: deque[Task] = deque()
        self._deaths: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()
        self._suspects: set[int] = set()
        self._done: list[Outcome] = []
        self._notes: list[str] = []
        self._said: set[str] = set()
        self._slots: list[Slot] = []
        self._ours = connect(self.workers, address, threads=work.threads, gpus=work.gpus, elastic=self._elastic)
        import ray

        self._ray: Any = ray
        self._looked = self._alone = time.monotonic()
        try:
            made = ray.remote(num_cpus=work.threads, num_gpus=work.gpus, max_restarts=0, max_task_retries=0)
            self._actors = made(Worker)
            self._banks = [ray.put(banks)] if (banks := _read_banks(work)) else []
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Starts the workers; waits for all of them, or for those that a cluster has room for, one at least."""
        for _ in range(self._room() if self._auto else self.workers):
            self._add()
        while not self._ready():
            self._step(math.inf, strict=True)
        live = self._live()
        waiting = f"; room for {len(self._slots) - live} more is waited for" if len(self._slots) > live else ""
        self._notes = [note for note in self._notes if note in self._said]
        self._notes.insert(0, f"{counted(live)} now{waiting}")

    def _ready(self) -> bool:
        phases = [slot.phase for slot in self._slots]
        if not self._elastic:
            return all(phase is Phase.LIVE for phase in phases)
        return Phase.LIVE in phases and Phase.LOADING not in phases

    @property
    def at_once(self) -> int:
        """How many workers there are at this moment."""
        return self._live()

    @property
    def capacity(self) -> int:
        """One candidate being scored and one waiting, for each worker that is there."""
        # Never 0: a search that has nothing in flight and may not submit would be at its end.
        return max(self._live(), 1) * (1 + AHEAD)

    def notes(self) -> list[str]:
        """See `Evaluator.notes`."""
        notes, self._notes = self._notes, []
        return notes

    def collect(self, timeout: float) -> list[Outcome]:
        """See `Evaluator.collect`.

        Raises:
            GasError: No worker is left, and none can be started.
        """
        end = time.monotonic() + timeout
        while len(self._submitted) > len(self._done) and not self._done:
            self._look()
            self._dispatch()
            self._step(end)
            if time.monotonic() >= end:
                break
        self._dispatch()
        done, self._done = self._done, []
        for outcome in done:
            del self._submitted[outcome.number]
        return done

    def _start(self, task: Task) -> None:
        self._queue.append(task)
        self._dispatch()

    def _stop(self) -> None:
        if not self._ray.is_initialized():
            return
        for slot in self._slots:
            self._kill(slot)
        if self._ours:
            self._ray.shutdown()

    def _live(self) -> int:
        return sum(slot.live for slot in self._slots)

    # Candidates

    def _dispatch(self) -> None:
        """Sends what is queued to workers: first to those that have nothing, then one to lie waiting at each.

        Suspects stand first in the queue and get a worker for themselves: until one is free for them, nothing is sent
        ahead to any, and nothing to theirs.
        """
        for depth in range(1 + AHEAD):
            for slot in self._slots:
                if not self._queue or (depth and self._queue[0].number in self._suspects):
                    return
                if slot.live and len(slot.calls) == depth and not self._suspects & slot.numbers:
                    self._send(slot, self._queue.popleft())

    def _send(self, slot: Slot, task: Task) -> None:
        design = task.candidate.architecture.to_json()
        slot.calls.append(Call(slot.actor.score.remote(task.number, design, task.rung, task.state), task))
        if len(slot.calls) == 1:
            slot.begins(time.monotonic() + len(task.state) / BYTES_S, self.work.limit_s + GRACE_S)

    def _step(self, end: float, *, strict: bool = False) -> None:
        """Waits for the first of: a call that returns, one that is overdue, `end`; and deals with all there are.

        Where `strict`, a worker that does not start is an error at once.
        """
        awaited = {slot.awaited: slot for slot in self._slots if slot.awaited is not None}
        if not awaited:
            raise GasError("ray: got no worker that starts; expected one at least")
        due = [slot.due for slot in awaited.values()]
        wait = min([end, *due, self._given_up(), self._looked + LOOK_S if self._elastic else end]) - time.monotonic()
        returned, _ = self._ray.wait(list(awaited), timeout=max(wait, 0.0) if wait < math.inf else None)
        if returned and len(awaited) > 1:  # the others that have returned by now
            returned, _ = self._ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        for ref in returned:
            self._receive(awaited[ref], strict)
        now = time.monotonic()
        for slot in [slot for ref, slot in awaited.items() if ref not in returned]:
            if now >= slot.due:
                self._overdue(slot, strict)
        if now >= self._given_up():
            raise self._no_room()

    def _receive(self, slot: Slot, strict: bool) -> None:
        """Takes in what a call has come to."""
        errors = self._ray.exceptions
        try:
            value = self._ray.get(slot.awaited)
        except errors.RayError as error:
            if slot.talk is not None:
                self._gone(slot, error, strict)
            elif isinstance(error, errors.RayTaskError):  # the worker is well, and the call is not
                self._finish(slot, slot.failed(_told(error), time.monotonic()))
            elif isinstance(error, errors.ActorUnavailableError):
                # Died, or its node did, or the network: a further call will say.
                slot.phase, slot.talk, slot.due = Phase.LOST, slot.actor.hello.remote(), time.monotonic() + LOST_S
            else:
                self._died(slot, error)
            return
        if slot.phase is Phase.LIVE:
            self._finish(slot, value)
        elif slot.phase is Phase.WAITING:
            slot.name, slot.node = value
            slot.phase, slot.due = Phase.LOADING, time.monotonic() + START_S
            slot.talk = slot.actor.ready.remote(*self._banks)
        elif slot.phase is Phase.LOADING:
            self._loaded(slot, *value, strict)
        else:  # it was out of reach alone; whether it ever got its candidates is not known, so others shall
            self._replace(slot, "could not be reached for a while")

    def _finish(self, slot: Slot, outcome: Outcome) -> None:
        """The first of the slot's candidates has come to an end; the next has begun."""
        self._done.append(outcome)
        slot.calls.popleft()
        self._deaths.pop(outcome.number, None)
        self._losses.pop(outcome.number, None)
        self._suspects.discard(outcome.number)
        slot.begins(time.monotonic(), self.work.limit_s + GRACE_S)

    def _gone(self, slot: Slot, error: Exception, strict: bool) -> None:
        """A worker that was starting, or was out of reach, is dead."""
        if slot.phase is Phase.LOST and slot.calls:
            self._died(slot, error)
        elif self._node_died(slot, error):
            self._replace(slot, "left: its node has died")
        else:
            self._not_started(slot, SettingError(f"ray: got a worker that does not start: {_told(error)}"), strict)

    def _died(self, slot: Slot, error: Exception) -> None:
        """A worker has died: by its candidate, unless its node died with it.

        Where it had a second one, which of them it was cannot be told: a process that ends at the beginning of the
        second may take the first one's outcome along, unsent. Neither is blamed then; each is tried again by itself.
        """
        number = slot.calls[0].task.number
        lost = self._node_died(slot, error)
        times, most = (self._losses, LOSSES) if lost else (self._deaths, self.work.retries)
        if lost or len(slot.calls) == 1:
            times[number] += 1
        else:
            self._suspects |= slot.numbers
        if times[number] > most:
            what = "its worker's node died" if lost else "its worker was killed or crashed"
            reason = f"{what}, {counted(times[number], 'time')}: {_told(error)}"
            self._finish(slot, slot.failed(reason, time.monotonic()))
        self._replace(slot, f"left: node {slot.node[:8]} has died" if lost else f"died: {_told(error)}")

    def _overdue(self, slot: Slot, strict: bool) -> None:
        if slot.phase is Phase.LIVE:
            reason = f"{over_time(self.work.limit_s)}, and its worker had to be killed"
            self._finish(slot, slot.failed(reason, time.monotonic()))
            self._replace(slot, "had to be killed over the time limit")
        elif slot.phase is Phase.LOST:
            self._replace(slot, f"could not be reached for {LOST_S:g} s")
        else:
            free = int(self._ray.available_resources().get("CPU", 0))
            problem = f"got a worker that is not ready after {START_S:g} s; expected it by then ({free} CPUs are free)"
            self._not_started(slot, SettingError(f"ray: {problem}"), strict)

    # Workers

    def _add(self) -> None:
        slot = Slot()
        self._slots.append(slot)
        self._launch(slot)

    def _launch(self, slot: Slot) -> None:
        """Asks for a new worker for the slot, in place of one that is dead or shall be."""
        self._kill(slot)
        slot.phase, slot.name, slot.node = Phase.WAITING, "", ""
        if all(other.phase is Phase.WAITING for other in self._slots):
            self._alone = time.monotonic()
        # In a cluster it waits for room as long as it takes; see `_given_up`.
        slot.due = math.inf if self._elastic else time.monotonic() + START_S
        slot.actor = self._actors.remote(self.work)
        slot.talk = slot.actor.hello.remote()

    def _kill(self, slot: Slot) -> None:
        if slot.actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(slot.actor, no_restart=True)
        slot.actor = slot.talk = None

    def _loaded(self, slot: Slot, notes: tuple[str, ...], error: GasError | None, strict: bool) -> None:
        if error is not None:
            self._not_started(slot, error, strict)
            return
        slot.phase, slot.talk, slot.due, slot.starts = Phase.LIVE, None, math.inf, 0
        fresh = [note for note in notes if note not in self._said]  # every worker says the same of the same data
        self._said.update(fresh)
        self._notes += [*fresh, f"{counted(self._live())} now: one joined at {slot.name}"]

    def _replace(self, slot: Slot, how: str) -> None:
        """A new worker for a slot, whose candidates go to others first."""
        self._queue.extendleft(call.task for call in reversed(slot.calls))
        slot.calls.clear()
        named = f"the one at {slot.name}" if slot.name else "one that was starting"
        self._launch(slot)
        self._notes.append(f"{counted(self._live())} now: {named} {how}")

    def _not_started(self, slot: Slot, error: GasError, strict: bool) -> None:
        if strict:
            raise error
        slot.starts += 1
        if slot.starts < STARTS:
            self._launch(slot)
            return
        self._drop(slot)
        self.workers = max(self.workers - 1, 1)
        if not self._slots:
            raise error
        self._notes.append(f"{counted(self._live())} now: one is given up after {STARTS} attempts: {error}")

    def _drop(self, slot: Slot) -> None:
        self._kill(slot)
        self._slots.remove(slot)

    def _node_died(self, slot: Slot, error: Exception) -> bool:
        """Whether a worker died with its node: Ray says so, or the node is not there; of a kill Ray hears late."""
        if "its node has died" in str(error) or not slot.node:
            return "its node has died" in str(error)
        node = next((node for node in self._ray.nodes() if node["NodeID"] == slot.node), None)
        return node is None or not node["Alive"] or not (self._outside or answers(node))

    def _nodes(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def _room(self) -> int:
        """How many workers the cluster has room for, were it empty."""
        return sum(fits(node, self.work.threads, self.work.gpus) for node in resources()) or 1

    def _look(self) -> None:
        """Follows the cluster, now and then: idle workers whose node is gone, and with `auto` how many there may be."""
        if not self._elastic or time.monotonic() < self._looked + LOOK_S:
            return
        self._looked = time.monotonic()
        nodes = self._nodes()
        for slot in self._slots:
            if slot.node in nodes:
                continue
            if slot.phase is Phase.LOST and slot.calls:
                self._died(slot, GasError("its node has died"))
            elif slot.live and not slot.calls:
                self._replace(slot, f"left: node {slot.node[:8]} has died")
        if self._auto:
            self.workers = self._room()
            for _ in range(self.workers - len(self._slots)):
                self._add()
            waiting = [slot for slot in self._slots if slot.phase is Phase.WAITING]
            for slot in islice(waiting, max(len(self._slots) - self.workers, 0)):
                self._drop(slot)

    def _given_up(self) -> float:
        """When to end for want of workers; never while one works or loads."""
        there = any(slot.phase is not Phase.WAITING for slot in self._slots)
        return math.inf if there or not self._elastic else self._alone + START_S

    def _no_room(self) -> GasError:
        free = int(self._ray.available_resources().get("CPU", 0))
        wanted = f"{counted(self.work.threads, 'CPU')}" + f" and {self.work.gpus:g} GPUs" * bool(self.work.gpus)
        problem = f"got no room for a worker in {START_S:g} s; expected {wanted} on one node ({free} CPUs are free)"
        return SettingError(f"ray: {problem}")


def _read_banks(work: Work) -> dict[str, bytes]:
    """The banks of shared weights that proxies name, by their paths: no worker need see this machine's disk."""
    from gas.banks import read

    named = dict.fromkeys(settings.get("bank") or "" for _, settings in work.proxies)
    return {path: read(path) for path in named if path}


def _told(error: Exception) -> str:
    """What Ray says of a failure, without the worker's stack and Ray's advice."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return reason_of(cause)
    # Ray leaves out the exit code; of all it says, this much bears on why.
    if found := re.search(r"Worker exit type: (\w+) Worker exit detail: (.*?)(\.\s|$)", " ".join(str(error).split())):
        return f"{type(error).__name__}: {found[1]}: {found[2]}"
    return reason_of(error)
