"""Latency by parts: each block is measured once, alone, and a design's latency is the sum over its blocks.

Blocks are measured as they are deployed: folded for inference (`gas.fuse`); nothing folds across the border of a block.

So the latency of a design that shares all its blocks with designs seen before costs nothing, and a search can treat
it as a constraint. What is measured is kept on disk: on the same machine a second run gets exactly the same numbers.

Parts are measured at different times, while other processes may be computing, which slows even the thread's own CPU
time by a fifth. So each part is timed in turns with a fixed yardstick, and its time is told as at the yardstick's usual
speed: on a busy machine this removes the bias and halves the scatter.

The sum leaves out what blocks do to one another (a block that runs alone finds its weights in the cache), so it is
called predicted, and serves to compare designs on one target. experiments/latency_table says how well.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import nn

from gas.architecture import Architecture
from gas.costs.measure import Timing, measure
from gas.costs.targets import TARGETS, Target
from gas.data.cache import cache_folder
from gas.model import fuse
from gas.patterns import Flow, Part, Pattern
from gas.patterns.layouts import converted
from gas.plan import plan, start

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS latency (machine TEXT NOT NULL, part TEXT NOT NULL, median_ms REAL NOT NULL, "
    "q1_ms REAL NOT NULL, q3_ms REAL NOT NULL, repeats INTEGER NOT NULL, PRIMARY KEY (machine, part)) WITHOUT ROWID"
)

# A plain piece of a network: run beside every part, so that a time can be told in multiples of it.
YARDSTICK = (
    (nn.LayerNorm, {"normalized_shape": 128}),
    (nn.Linear, {"in_features": 128, "out_features": 256}),
    (nn.GELU, {}),
    (nn.Linear, {"in_features": 256, "out_features": 128}),
)
YARDSTICK_INPUT = (784, 128)

Entry = tuple[str, Part, tuple[int, ...]]
"""Key in the table, module, shape of one input."""


class LatencyTable:
    """Measured latency per part, and predicted latency per design.

    A part is known by its modules with all their arguments (and a digest of their code and of the code that it uses),
    its form (folded) and the shape of its input;
    a number belongs to a target as it describes itself: engine, batch, threads, CPU model, version of torch.

    Args:
        target: What to measure on; `cpu_eager` with one image and one thread where None.
        path: SQLite file; `latency.sqlite` in the cache folder where None. Several processes may share it: the first
            to measure a part decides its number for all.
        clock: `cpu` (default) measures the thread's own CPU time, so that workers on the same cores do not count;
            `wall` for targets with several threads or on another device.
        seconds: Time spent on one part, warm-up aside.

    Attributes:
        problem: Why the numbers are kept in memory only, as when the folder cannot be written; empty otherwise.

    Raises:
        SettingError: The CPU clock with several threads, or an unknown clock.
    """

    def __init__(
        self,
        target: Target | None = None,
        path: Path | None = None,
        *,
        clock: str = "cpu",
        seconds: float = 0.08,
    ) -> None:
        self.target = target or TARGETS.get("cpu_eager")()
        self.path = path or cache_folder() / "latency.sqlite"
        self.clock = clock
        self.seconds = seconds
        self.problem = ""
        measure({}, threads=self.target.threads, clock=clock)  # refuses the settings that it could not measure with
        self._machine = _text({**self.target.describe(), "clock": clock})
        self._ask(SCHEMA)
        rows = self._ask("SELECT part, median_ms FROM latency WHERE machine = ?", (self._machine,))
        self._known: dict[str, float] = dict(rows)
        self._yardstick: tuple[Callable[[], object], float] | None = None

    def predict(self, architecture: Architecture) -> float:
        """Predicted milliseconds for one batch; measures the parts that are not in the table yet."""
        return sum(self._ms(entry) for entry in entries(architecture))

    def predict_many(
        self, architectures: Sequence[Architecture], progress: Callable[[int, int], object] | None = None
    ) -> list[float]:
        """`predict` for each; `progress(done, total)` counts the parts that had to be measured."""
        lists = [list(entries(architecture)) for architecture in architectures]
        lacking = list(self._lacking(entry for each in lists for entry in each).values())
        for done, entry in enumerate(lacking, start=1):
            self._ms(entry)
            if progress is not None:
                progress(done, len(lacking))
        return [sum(self._ms(entry) for entry in each) for each in lists]

    def missing(self, architecture: Architecture) -> int:
        """Number of different parts of the design that would have to be measured."""
        return len(self._lacking(entries(architecture)))

    def _lacking(self, wanted: Iterable[Entry]) -> dict[str, Entry]:
        return {entry[0]: entry for entry in wanted if entry[0] not in self._known}

    def _ms(self, entry: Entry) -> float:
        key, part, shape = entry
        if key not in self._known:
            kept = self._kept(key)
            self._known[key] = self._keep(key, self._time(part, shape)) if kept is None else kept
        return self._known[key]

    def _time(self, part: Part, shape: tuple[int, ...]) -> Timing:
        run = self._prepare(part, shape)
        if self._yardstick is None:
            self._yardstick = self._new_yardstick()
        yardstick, usual_ms = self._yardstick
        # Five rounds in any case; a part of a few milliseconds gets 15 or more, a light one some hundred.
        timings = self._measure({"part": run, "yardstick": yardstick}, self.seconds)
        scale = usual_ms / timings["yardstick"].median_ms
        return Timing.of([scale * ms for ms in timings["part"].series])

    def _new_yardstick(self) -> tuple[Callable[[], object], float]:
        """What is run beside every part, and the time it usually takes."""
        part = Part(nn.Sequential, {"": [Part.of(module, **args) for module, args in YARDSTICK]})
        key, run = _key(part, YARDSTICK_INPUT), self._prepare(part, YARDSTICK_INPUT)
        usual_ms = self._kept(key)
        if usual_ms is None:
            usual_ms = self._keep(key, self._measure({"": run}, 5 * self.seconds)[""])
        return run, usual_ms

    def _prepare(self, part: Part, shape: tuple[int, ...]) -> Callable[[], object]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.target.prepare(fuse(part.build()), shape)

    def _measure(self, runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, Timing]:
        threads, clock = self.target.threads, self.clock
        return measure(runs, seconds=seconds, tolerance=0.005, least=5, threads=threads, clock=clock)

    def _kept(self, key: str) -> float | None:
        """What stands in the file, where another process may have put it since this one read it."""
        rows = self._ask("SELECT median_ms FROM latency WHERE machine = ? AND part = ?", (self._machine, key))
        return rows[0][0] if rows else None

    def _keep(self, key: str, timing: Timing) -> float:
        """Enters a part; the number that stands there afterwards, which may be another process's."""
        row = (self._machine, key, timing.median_ms, timing.q1_ms, timing.q3_ms, timing.repeats)
        self._ask("INSERT OR IGNORE INTO latency VALUES (?, ?, ?, ?, ?, ?)", row)
        kept = self._kept(key)
        return timing.median_ms if kept is None else kept

    def _ask(self, statement: str, values: tuple = ()) -> list[tuple]:
        """Rows of one statement, committed. From the first trouble with the file on: none, and `problem` says why."""
        if self.problem:
            return []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30)) as file, file:
                return file.execute(statement, values).fetchall()
        except (OSError, sqlite3.Error) as error:
            self.problem = f"{self.path}: {error}"
            return []


def entries(architecture: Architecture) -> Iterator[Entry]:
    """Every part that a design runs, in order, layout conversions included; equal parts come as often as they run."""
    flow = start(architecture.resolution, architecture.channels)
    for placed in plan(architecture).placed:
        for conversion in placed.conversions:
            yield _key(conversion, flow.shape), conversion, flow.shape
            flow = converted(flow, "tokens")  # whatever stands behind the first conversion reads tokens, in some order
        yield _placed_entry(placed.pattern, placed.options, placed.before)
        flow = placed.after


@lru_cache(maxsize=100_000)
def _placed_entry(pattern: Pattern, options: Any, before: Flow) -> Entry:
    part, shape = pattern.part(options, before), before.shape
    return _key(part, shape), part, shape


def _key(part: Part, shape: tuple[int, ...]) -> str:
    return _text({"part": _plain(part), "input": shape, "form": "folded"})


def _text(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        args = {name: _plain(inner) for name, inner in value.args.items()}
        return {"module": value.cls.__qualname__, "code": _code(value.cls), "args": args}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@cache
def _code(cls: type) -> str:
    """Digest of a class's source, and of what it uses of ours: a number measured on other code is not this part's."""
    used: dict[Any, str] = {}
    _gather(cls, used)
    return hashlib.sha256("\n".join(used.values()).encode()).hexdigest()[:8]


def _gather(thing: Any, used: dict[Any, str]) -> None:
    """Enters the source of a class or function, and of those of ours that it names, in the order of their use."""
    used[thing] = inspect.getsource(thing)
    functions = [f for f in vars(thing).values() if inspect.isfunction(f)] if inspect.isclass(thing) else [thing]
    named = [f.__globals__.get(name) for f in functions for name in _names(f.__code__)]
    for other in [*getattr(thing, "__bases__", ()), *named]:
        is_code = inspect.isclass(other) or inspect.isfunction(other)
        if is_code and other.__module__.startswith("gas.") and other not in used:
            _gather(other, used)


def _names(code: CodeType) -> Iterator[str]:
    """Global names and attributes that a function's code speaks of, its inner functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
