"""What an evaluator is: candidates go in, and exactly one outcome comes out for each, whatever became of its worker."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.errors import GasError, SettingError, describe
from gas.evaluation import Candidate
from gas.registry import Registry

if TYPE_CHECKING:
    from gas.proxies.base import Proxy

MIB = 2**20


class OutOfTime(BaseException):
    """Thrown into a proxy that does not watch its deadline. No Exception, lest the proxy take it for one of its own."""


@dataclass(frozen=True)
class Work:
    """What is done to every candidate; plain data, so that it travels to workers.

    Args:
        proxies: Registered name and settings (`data`, `fidelity`, `seed`) of each proxy, in the order of running.
        limit_s: Time limit per candidate, all proxies together, seconds.
        memory_mib: Address space that scoring a candidate may add to its worker, MiB; None for no limit. Linux only.
        modules: Modules that a worker imports first: those that register proxies from outside gas.
        probes: Names of the readings that are taken of every design once it is scored.

    Raises:
        SettingError: A limit that is not above 0.
    """

    proxies: tuple[tuple[str, dict[str, Any]], ...]
    limit_s: float = math.inf
    memory_mib: int | None = None
    modules: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("limit_s", self.limit_s), ("memory_mib", self.memory_mib)):
            if value is not None and not value > 0:
                raise SettingError(f"{name}: {describe(value, 'a number above 0')}")


@dataclass(frozen=True)
class Outcome:
    """What an evaluator has to say about a candidate; plain data.

    Args:
        number: The candidate's number.
        metrics: Value per metric, all finite; empty where it failed.
        reason: Why it failed, in one line; empty where it did not.
        seconds: Worker time spent on it.
        worker: Where it ran: `host:process`.
        probes: What probing found, as in `Evaluation`; empty where it failed, or no probes were asked for.
        note: Why there are no probes although they were asked for, in one line; empty otherwise.
    """

    number: int
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    worker: str = ""
    probes: tuple[dict[str, float], ...] = ()
    note: str = ""


Prepared = Sequence[tuple["Proxy", int]]
"""Proxies that are ready to score, each with the seed of its scores."""


def prepare(work: Work) -> Prepared:
    """Makes the proxies of a worker and lets them load their data.

    Every design is scored with one seed, the proxy's own, so that they meet the same images in the same order.

    Raises:
        GasError: A proxy, probe, setting or data source that does not exist; any other trouble comes as a SettingError.
    """
    from gas.probes import PROBES
    from gas.proxies.base import create

    try:
        for module in work.modules:
            importlib.import_module(module)
        for name in work.probes:
            PROBES.get(name)
        made = [(create(name, settings), settings.get("seed", 0)) for name, settings in work.proxies]
        for proxy, _ in made:
            proxy.prepare()
    except GasError:
        raise
    except Exception as error:
        raise SettingError(f"proxies: cannot be made ready: {reason_of(error)}") from error
    return made


def run_work(
    proxies: Prepared,
    number: int,
    architecture: str,
    *,
    limit_s: float = math.inf,
    memory_mib: int | None = None,
    probes: Sequence[str] = (),
) -> Outcome:
    """Scores one candidate; whatever goes wrong inside is the outcome's reason and is never raised.

    Args:
        proxies: What to score it with; each sees the deadline, and is trusted to keep it.
        number: The candidate's number.
        architecture: Its canonical JSON.
        limit_s: Time limit, seconds.
        memory_mib: See `Work`.
        probes: Readings to take once it is scored; where that fails, the scores stand all the same.
    """
    begin = time.monotonic()
    deadline = begin + limit_s
    metrics: dict[str, float] = {}
    found: tuple[dict[str, float], ...] = ()
    trained: list[tuple[Any, ...]] = []
    reason = note = ""
    try:
        design = Architecture.from_json(architecture)
        with memory_limit(memory_mib):
            for proxy, seed in proxies:
                if probes:
                    proxy.inspect = lambda *seen: trained.append(seen)
                scores = proxy.score(design, seed=seed, deadline=None if deadline == math.inf else deadline)
                metrics.update(_finite(scores, metrics))
            if probes:
                seed = proxies[0][1] if proxies else 0
                found, note = _probed(design, probes, seed, deadline, trained.pop() if trained else None)
    except OutOfTime:
        reason = over_time(limit_s)
    except TimeoutError as error:
        reason = f"{over_time(limit_s)}: {reason_of(error)}" if time.monotonic() > deadline else reason_of(error)
    except (Exception, SystemExit) as error:
        reason = reason_of(error)
    spent = time.monotonic() - begin
    if reason:
        return Outcome(number, {}, reason, spent, worker_name())
    return Outcome(number, metrics, "", spent, worker_name(), found, note)


def _probed(
    design: Architecture, names: Sequence[str], seed: int, deadline: float, trained: tuple[Any, ...] | None
) -> tuple[tuple[dict[str, float], ...], str]:
    """Readings per block and nothing, or none and why; of the trained network where there is one."""
    from gas.probes import Subject, probe

    try:
        limit = None if deadline == math.inf else deadline
        subject = None if trained is None else Subject(*trained)
        return probe(design, seed=seed, names=names, deadline=limit, subject=subject), ""
    except OutOfTime:
        return (), "not probed: out of time"
    except Exception as error:
        return (), f"not probed: {reason_of(error)}"


def _finite(scores: dict[str, float], known: dict[str, float]) -> dict[str, float]:
    values = {str(name): float(value) for name, value in scores.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name}: got {value}; expected a finite number")
        if name in known:
            raise ValueError(f"{name}: given by two proxies; expected one")
    return values


@contextlib.contextmanager
def memory_limit(mib: int | None) -> Iterator[None]:
    """Lets the process grow by so much address space at most; an allocation beyond that fails, and raises.

    Only Linux says how large the process is and keeps such a limit; elsewhere nothing is limited.
    """
    if mib is None or platform.system() != "Linux":
        yield
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = pages * resource.getpagesize() + mib * MIB
    for other in (soft, hard):
        bound = bound if other == resource.RLIM_INFINITY else min(bound, other)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def over_time(limit_s: float) -> str:
    """The reason of a candidate that took too long."""
    return f"over its time limit of {limit_s:g} s"


def reason_of(error: BaseException) -> str:
    """An exception in one line of bearable length: `ValueError: ...`."""
    text = " ".join(str(error).split())
    # torch says of a failed allocation that it is a RuntimeError.
    memory = isinstance(error, RuntimeError) and any(
        words in text for words in ("allocate memory", "not enough memory")
    )
    line = f"{'MemoryError' if memory else type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= 300 else f"{line[:297]}..."


def worker_name() -> str:
    """This process, as outcomes name it: `host:process`."""
    return f"{platform.node()}:{os.getpid()}"


class Evaluator(ABC):
    """Runs the work on candidates, several at a time where it can. A context manager, closed at its end.

    Args:
        work: What is done to every candidate.
        workers: How many candidates are worked on at a time.
        address: Of the cluster to use; None for this machine.

    Raises:
        GasError: The work cannot be done at all (a proxy, its data or a setting is wrong), or not by so many workers.
    """

    def __init__(self, work: Work, *, workers: int = 1, address: str | None = None) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise SettingError(f"workers: {describe(workers, 'a whole number of at least 1')}")
        self.work = work
        self.workers = workers
        self.address = address
        self._submitted: dict[int, Candidate] = {}
        self._closed = False

    @property
    def capacity(self) -> int:
        """How many candidates it wants in flight; more may be submitted, and wait."""
        return self.workers

    @property
    def pending(self) -> int:
        """Candidates submitted whose outcomes have not been collected."""
        return len(self._submitted)

    def submit(self, candidate: Candidate) -> None:
        """Takes a candidate on. ValueError where one of its number is pending, or the evaluator is closed."""
        if self._closed:
            raise ValueError("submit: the evaluator is closed")
        if candidate.number in self._submitted:
            raise ValueError(f"submit: candidate {candidate.number} is pending")
        self._submitted[candidate.number] = candidate
        self._start(candidate)

    @abstractmethod
    def _start(self, candidate: Candidate) -> None:
        """Begins with a candidate, or queues it."""

    @abstractmethod
    def collect(self, timeout: float) -> list[Outcome]:
        """The outcomes that are there: waits for one at least, up to `timeout` seconds; none where none is pending.

        Each submitted candidate gives exactly one outcome. Where the wait is broken off (Ctrl-C), nothing is lost: a
        later call goes on.
        """

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


def create(name: str, work: Work, *, workers: int = 1, address: str | None = None) -> Evaluator:
    """The evaluator registered as `name`, its workers ready to score.

    Raises:
        UnknownNameError: There is none of that name.
        GasError: See `Evaluator`.
    """
    return EVALUATORS.get(name)(work, workers=workers, address=address)
