"""Latency by pieces: each piece is measured once, alone, and a design's latency is the sum over its pieces.

Pieces are measured as they are deployed: folded for inference (`gas.fuse`); nothing folds across the border of a piece.

So the latency of a design that shares all its pieces with designs seen before costs nothing, and a search can treat
it as a constraint. What is measured is kept on disk: on the same machine a second run gets exactly the same numbers.

Pieces are measured at different times, while other processes may be computing, which slows even the thread's own CPU
time by a fifth. So each piece is timed in turns with a fixed yardstick, and its time is told as at its usual
speed: on a busy machine this removes the bias and halves the scatter. The yardstick finds its data in the cache,
however large the piece is that ran before it; or large pieces would seem to run on a slow machine.

The sum leaves out what pieces do to one another (a piece that runs alone finds its weights in the cache), so it is
called predicted, and serves to compare designs on one target. `gas.costs.predictor` learns what the sum misses from
whole designs that are measured in the same way; experiments/latency_predictor says how well both do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gas.architecture import Architecture
from gas.costs.allocator import keep_memory
from gas.costs.measure import CLOCKS, SelfTimed, Timing, measure, timer
from gas.costs.pieces import Piece, design_pieces, text_of, whole
from gas.costs.targets import TARGETS, Target
from gas.data.cache import cache_folder
from gas.model import fuse
from gas.patterns import Part

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS pieces (machine TEXT NOT NULL, piece TEXT NOT NULL, median_ms REAL NOT NULL, "
    "q1_ms REAL NOT NULL, q3_ms REAL NOT NULL, repeats INTEGER NOT NULL, PRIMARY KEY (machine, piece)) WITHOUT ROWID"
)

# A plain piece of a network: run beside every other, so that a time can be told in multiples of it.
YARDSTICK = (
    (nn.LayerNorm, {"normalized_shape": 128}),
    (nn.Linear, {"in_features": 128, "out_features": 256}),
    (nn.GELU, {}),
    (nn.Linear, {"in_features": 256, "out_features": 128}),
)
YARDSTICK_INPUT = (784, 128)

WHOLE = 12.0  # a whole design is measured this many times as long as a piece: few are, and much rests on each
TOGETHER = 16  # whole designs that are measured in turns with one another: as with their ratios, so with their caches
YARDSTICKS = 4  # in a round of whole designs


class Warmed(SelfTimed):
    """Runs once more before it is timed: whatever ran before, its own data lie in the cache.

    Args:
        run: What is run.
        now: Clock, seconds.
    """

    def __init__(self, run: Callable[[], object], now: Callable[[], float]) -> None:
        self._run = run
        self._timed = timer(run, now)

    def __call__(self) -> object:
        """Runs once."""
        return self._run()

    def elapsed_ms(self) -> float:
        """Runs twice; milliseconds of the second time."""
        self._run()
        return self._timed()


class LatencyTable:
    """Measured latency per piece, and predicted latency per design.

    A number belongs to a piece and to a target as it describes itself: engine, batch, threads, CPU model, versions.

    Args:
        target: What to measure on; `cpu_eager` with one image and one thread where None.
        path: SQLite file; `latency.sqlite` in the cache folder where None. Several processes may share it: the first
            to measure a piece decides its number for all.
        clock: `cpu` (default) measures the thread's own CPU time, so that workers on the same cores do not count;
            `wall` for targets with several threads or on another device.
        seconds: Time spent on one piece, warm-up aside.

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
        self._machine = text_of(self.label)
        self._ask(SCHEMA)
        rows = self._ask("SELECT piece, median_ms FROM pieces WHERE machine = ?", (self._machine,))
        self._known: dict[str, float] = dict(rows)
        self._yardstick: tuple[SelfTimed, float] | None = None

    @classmethod
    def on(cls, target: Target, **options: Any) -> LatencyTable:
        """A table with the clock that suits the target: the CPU's own where the calling thread does all the work."""
        return cls(target, clock=target.usual_clock, **options)

    @property
    def label(self) -> dict[str, str | int]:
        """What the numbers must not be compared across."""
        return {**self.target.describe(), "clock": self.clock, "memory": "kept" if keep_memory() else "as allocated"}

    def predict(self, architecture: Architecture) -> float:
        """Predicted milliseconds for one batch; measures the pieces that are not in the table yet."""
        return sum(self.ms(piece) for piece in design_pieces(architecture))

    def predict_many(
        self, architectures: Sequence[Architecture], progress: Callable[[int, int], object] | None = None
    ) -> list[float]:
        """`predict` for each; `progress(done, total)` counts the pieces that had to be measured."""
        lists = [design_pieces(architecture) for architecture in architectures]
        self.fill((piece for each in lists for piece in each), progress)
        return [sum(self.ms(piece) for piece in each) for each in lists]

    def fill(self, wanted: Iterable[Piece], progress: Callable[[int, int], object] | None = None) -> None:
        """Measures the pieces that are not in the table yet; `progress(done, total)` counts those."""
        lacking = self.lacking(wanted)
        for done, piece in enumerate(lacking, start=1):
            self.ms(piece)
            if progress is not None:
                progress(done, len(lacking))

    def missing(self, architecture: Architecture) -> int:
        """Number of different pieces of the design that would have to be measured."""
        return len(self.lacking(design_pieces(architecture)))

    def lacking(self, wanted: Iterable[Piece]) -> list[Piece]:
        """The different ones among pieces that would have to be measured."""
        return list({piece.key: piece for piece in wanted if piece.key not in self._known}.values())

    def ms(self, piece: Piece) -> float:
        """Milliseconds that a piece takes for one batch; measured where it is not in the table yet."""
        if piece.key not in self._known:
            kept = self._kept(piece.key)
            self._known[piece.key] = self._keep(piece.key, self._time(piece)) if kept is None else kept
        return self._known[piece.key]

    def measured(
        self,
        architectures: Sequence[Architecture],
        *,
        beside: Sequence[Architecture] = (),
        again: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[float]:
        """Milliseconds that whole designs take for one batch, in turns with one another, told like those of pieces.

        Args:
            architectures: The designs; what is measured is kept, and found again.
            beside: Others to take turns with, where there are few: a design alone finds more in the cache.
            again: Measure anew what is kept, and do not keep it.
            progress: Called with how many are done and how many had to be measured.
        """
        pieces = [whole(design) for design in architectures]
        lacking = list({p.key: p for p in pieces}.values()) if again else self.lacking(pieces)
        others = [whole(design) for design in beside]
        found: dict[str, float] = {}
        for first in range(0, len(lacking), TOGETHER):
            group = lacking[first : first + TOGETHER]
            known = {} if again else {p.key: ms for p in group if (ms := self._kept(p.key)) is not None}
            timings = self._in_turns([p for p in group if p.key not in known], others)
            found |= known | {k: t.median_ms if again else self._keep(k, t) for k, t in timings.items()}
            if progress is not None:
                progress(len(found), len(lacking))
        if not again:
            self._known |= found
        return [found.get(piece.key, self._known.get(piece.key)) for piece in pieces]

    def _in_turns(self, group: list[Piece], others: list[Piece]) -> dict[str, Timing]:
        """By key: the pieces of a group, timed in turns with one another, with others and with the yardstick."""
        if not group:
            return {}
        runs = {piece.key: self._prepare(piece.part, piece.shape) for piece in [*others, *group]}
        yardstick, usual_ms = self.yardstick()
        sticks = [f"yardstick {number}" for number in range(YARDSTICKS)]
        timings = self._measure(runs | dict.fromkeys(sticks, yardstick), WHOLE * self.seconds * len(runs))
        speed = usual_ms / np.median([timings[stick].series for stick in sticks], axis=0)  # of each round
        return {piece.key: Timing.of(speed * timings[piece.key].series) for piece in group}

    def yardstick(self) -> tuple[SelfTimed, float]:
        """What is timed beside every piece, and the milliseconds that it usually takes."""
        if self._yardstick is None:
            part = Part(nn.Sequential, {"": [Part.of(module, **args) for module, args in YARDSTICK]})
            key = Piece.of(part, YARDSTICK_INPUT, "yardstick").key
            run = Warmed(self._prepare(part, YARDSTICK_INPUT), CLOCKS[self.clock])
            usual_ms = self._kept(key)
            if usual_ms is None:
                usual_ms = self._keep(key, self._measure({"": run}, 5 * self.seconds)[""])
            self._yardstick = run, usual_ms
        return self._yardstick

    def _time(self, piece: Piece) -> Timing:
        run = self._prepare(piece.part, piece.shape)
        yardstick, usual_ms = self.yardstick()
        # Five rounds in any case; a piece of a few milliseconds gets 15 or more, a light one some hundred.
        timings = self._measure({"piece": run, "yardstick": yardstick}, self.seconds)
        scale = usual_ms / timings["yardstick"].median_ms
        return Timing.of([scale * ms for ms in timings["piece"].series])

    def _prepare(self, part: Part, shape: tuple[int, ...]) -> Callable[[], object]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.target.prepare(fuse(part.build()), shape)

    def _measure(self, runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, Timing]:
        threads, clock = self.target.threads, self.clock
        return measure(runs, seconds=seconds, tolerance=0.005, least=5, threads=threads, clock=clock)

    def _kept(self, key: str) -> float | None:
        """What stands in the file, where another process may have put it since this one read it."""
        rows = self._ask("SELECT median_ms FROM pieces WHERE machine = ? AND piece = ?", (self._machine, key))
        return rows[0][0] if rows else None

    def _keep(self, key: str, timing: Timing) -> float:
        """Enters a piece; the number that stands there afterwards, which may be another process's."""
        row = (self._machine, key, timing.median_ms, timing.q1_ms, timing.q3_ms, timing.repeats)
        self._ask("INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?, ?)", row)
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
