"""What is done to a candidate, on whatever worker: plain data in, plain data out, and nothing is raised."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.errors import GasError, SettingError, describe
from gas.evaluation import Candidate

if TYPE_CHECKING:
    from gas.proxies.base import Proxy

MIB = 2**20
_SCORER = "while scoring with "  # begins the note on an exception that says which of several proxies raised it


class OutOfTime(BaseException):
    """Thrown into a proxy that does not watch its deadline. No Exception, lest the proxy take it for one of its own."""


@dataclass(frozen=True)
class Work:
    """What is done to every candidate; plain data, so that it travels to workers.

    Args:
        proxies: Registered name and settings (`data`, `fidelity`, `seed`) of each proxy, in the order of running.
        limit_s: Time limit per candidate (and rung), all proxies together, seconds.
        memory_mib: Address space that scoring a candidate may add to its worker, MiB; None for no limit. Linux only.
        modules: Modules that a worker imports first: those that register proxies from outside gas.
        probes: Names of the readings that are taken of every design once it is scored.
        rungs: Fields of the fidelity that differ at each rung of a ladder, lowest rung first; none for no ladder.
            Probes are taken at the last one alone.
        threads: CPU threads of a worker.
        gpus: GPUs of a worker, or the share of one; 0 for none.
        retries: Further attempts at a candidate whose worker died: the fault may be another's (a machine that went
            away, a process killed for want of memory).
        score_seed: Seed of all scores; None for each proxy's own, which is the seed of its data too.

    Raises:
        SettingError: A number that is out of its range.
    """

    proxies: tuple[tuple[str, dict[str, Any]], ...]
    limit_s: float = math.inf
    memory_mib: int | None = None
    modules: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    rungs: tuple[dict[str, Any], ...] = ()
    threads: int = 1
    gpus: float = 0.0
    retries: int = 1
    score_seed: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("limit_s", self.limit_s), ("memory_mib", self.memory_mib), ("threads", self.threads)):
            if value is not None and not value > 0:
                raise SettingError(f"{name}: {describe(value, 'a number above 0')}")
        if not (0 <= self.gpus < 1 or float(self.gpus).is_integer()) or self.gpus < 0:
            raise SettingError(f"gpus: {describe(self.gpus, 'a whole number of GPUs, or a share of one')}")
        if self.retries < 0:
            raise SettingError(f"retries: {describe(self.retries, 'a whole number from 0')}")

    @property
    def last_rung(self) -> int:
        """Number of the rung at which a candidate is done."""
        return max(len(self.rungs) - 1, 0)


@dataclass(frozen=True)
class Task:
    """A candidate to work on; plain data.

    Args:
        candidate: The candidate.
        rung: Rung of the ladder to score it at; 0 where there is no ladder.
        state: What its training left at the rung below; empty to begin anew.
    """

    candidate: Candidate
    rung: int = 0
    state: bytes = b""

    @property
    def number(self) -> int:
        """The candidate's number."""
        return self.candidate.number


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
        rung: Rung of the ladder that the metrics are of.
        state: What the training can go on from at the next rung; empty at the last one and where there is no ladder.
    """

    number: int
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    worker: str = ""
    probes: tuple[dict[str, float], ...] = ()
    note: str = ""
    rung: int = 0
    state: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Prepared:
    """The work with what it needs in memory: the same proxies at every rung, the lowest first.

    Args:
        work: What is to be done.
        rungs: Per rung (one where there is no ladder) the proxies, each with the seed of its scores.
    """

    work: Work
    rungs: Sequence[Sequence[tuple[Proxy, int]]]

    def notes(self) -> list[str]:
        """What the proxies have to say of their data, each thing once."""
        proxies = [proxy for proxy, _ in itertools.chain(*self.rungs)]
        return list(dict.fromkeys(itertools.chain(*(proxy.notes() for proxy in proxies))))


def prepare(work: Work) -> Prepared:
    """Makes the proxies of a worker and lets them load their data.

    Every design is scored with one seed, so that they meet the same images in the same order.

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
        rungs = []
        for changes in work.rungs or ({},):
            settings = [(name, at_rung(given, changes)) for name, given in work.proxies]
            seeds = [given.get("seed", 0) if work.score_seed is None else work.score_seed for _, given in settings]
            rungs.append([(create(*one), seed) for one, seed in zip(settings, seeds, strict=True)])
        for proxy, _ in itertools.chain(*rungs):
            if work.rungs and not proxy.resumable:
                raise SettingError(f"ladder: got the proxy {proxy.name}; expected one that can go on from a lower rung")
            if work.gpus:
                proxy.device = "cuda"
            proxy.prepare()
    except GasError:
        raise
    except Exception as error:
        raise SettingError(f"proxies: cannot be made ready: {reason_of(error)}") from error
    return Prepared(work, rungs)


def at_rung(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A proxy's settings with some fields of its fidelity changed."""
    return {**settings, "fidelity": {**settings.get("fidelity", {}), **changes}} if changes else dict(settings)


def run_work(prepared: Prepared, number: int, architecture: str, rung: int = 0, state: bytes = b"") -> Outcome:
    """Scores one candidate; whatever goes wrong inside is the outcome's reason and is never raised.

    Args:
        prepared: What to score it with; each proxy sees the deadline, and is trusted to keep it.
        number: The candidate's number.
        architecture: Its canonical JSON.
        rung: See `Task`.
        state: See `Task`.
    """
    work = prepared.work
    begin = time.monotonic()
    deadline = begin + work.limit_s
    probes = work.probes if rung + 1 == len(prepared.rungs) else ()
    metrics: dict[str, float] = {}
    found: tuple[dict[str, float], ...] = ()
    left = b""
    reason = note = ""
    try:
        design = Architecture.from_json(architecture)
        with memory_limit(work.memory_mib):
            metrics, left, trained = _scored(prepared, rung, design, state, deadline)
            if probes:
                seed = prepared.rungs[rung][0][1] if prepared.rungs[rung] else 0
                found, note = _probed(design, probes, seed, deadline, trained)
    except OutOfTime:
        reason = over_time(work.limit_s)
    except TimeoutError as error:
        reason = f"{over_time(work.limit_s)}: {reason_of(error)}" if time.monotonic() > deadline else reason_of(error)
    except (Exception, SystemExit) as error:
        reason = reason_of(error)
    spent = time.monotonic() - begin
    if reason:
        return Outcome(number, {}, reason, spent, worker_name(), rung=rung)
    return Outcome(number, metrics, "", spent, worker_name(), found, note, rung, left)


def _scored(
    prepared: Prepared, rung: int, design: Architecture, state: bytes, deadline: float
) -> tuple[dict[str, float], bytes, tuple[Any, ...] | None]:
    """Metrics, what the next rung goes on from, and the trained network (as `Proxy.inspect` sees it) where one is."""
    work, limit = prepared.work, None if deadline == math.inf else deadline
    last = rung + 1 == len(prepared.rungs)
    metrics: dict[str, float] = {}
    left: dict[str, bytes] = {}
    trained: list[tuple[Any, ...]] = []
    states = _unpacked(state)
    for index, (proxy, seed) in enumerate(prepared.rungs[rung]):
        proxy.inspect = (lambda *seen: trained.append(seen)) if work.probes and last else None
        try:
            if work.rungs:
                scores, left[str(index)] = proxy.resume(design, states.get(str(index), b""), seed=seed, deadline=limit)
            else:
                scores = proxy.score(design, seed=seed, deadline=limit)
            metrics.update(_finite(scores, metrics))
        except (Exception, SystemExit) as error:
            if len(prepared.rungs[rung]) > 1:
                error.add_note(f"{_SCORER}{proxy.name}")
            raise
    return metrics, b"" if last else _packed(left), trained.pop() if trained else None


def _packed(states: Mapping[str, bytes]) -> bytes:
    """The proxies' states as one: a line of JSON with their lengths, then the states."""
    lengths = json.dumps({name: len(state) for name, state in states.items()})
    return b"\n".join([lengths.encode(), b"".join(states.values())])


def _unpacked(packed: bytes) -> dict[str, bytes]:
    """The inverse of `_packed`; ValueError where it is none."""
    if not packed:
        return {}
    head, _, rest = packed.partition(b"\n")
    states = {}
    for name, length in json.loads(head).items():
        states[name], rest = rest[:length], rest[length:]
    return states


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
    """An exception in one line of bearable length: `ValueError: ...`; where several proxies ran, behind whose it is."""
    text = " ".join(str(error).split())
    # torch says of a failed allocation that it is a RuntimeError.
    memory = isinstance(error, RuntimeError) and any(
        words in text for words in ("allocate memory", "not enough memory")
    )
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(_SCORER)]
    scorer = f"{notes[-1].removeprefix(_SCORER)}: " if notes else ""
    kind = "MemoryError" if memory else type(error).__name__
    line = f"{scorer}{kind}{f': {text}' if text else ''}"
    return line if len(line) <= 300 else f"{line[:297]}..."


def gpu_here() -> bool:
    """Whether torch sees a GPU in this process."""
    import torch

    return torch.cuda.is_available()


def worker_name() -> str:
    """This process, as outcomes name it: `host:process`."""
    return f"{platform.node()}:{os.getpid()}"
