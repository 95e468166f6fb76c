"""How gas measures time: one protocol, used by every latency that it prints or decides upon.

- What runs: a design folded for inference (`gas.fuse`), in evaluation mode, in the target's memory format, on one fixed
  batch; moved, compiled or exported beforehand (`gas.costs.targets`).
- Conditions: threads pinned to the number asked for (torch's here, other engines' by their target), inference mode, no
  garbage collection in between, an allocator that keeps its memory (`gas.costs.allocator`).
- Warm-up: two rounds, and more until they stop getting faster, ten at most; not counted.
- Rounds: every callable runs once in each, in an order shuffled anew, so that what the machine does meanwhile meets all
  of them alike.
- End: when the 95% interval of every median reaches no further than 2% to either side, or the time is up (`settled`
  says which). The interval is that of order statistics: no shape of the distribution is assumed.
- Results: medians and quartiles over all counted calls, which a few slow ones do not move. Outliers (more than three
  interquartile ranges above the upper quartile) are counted, not dropped.
- Clock: wall time; or CPU time of the calling thread; or the device's own, where a callable times itself.
- Ratios: between callables of one call of `measure`, with a bootstrap over rounds. Times of different calls are not
  comparable more closely than the machine is steady (a third, on shared hardware).
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from gas.costs.allocator import keep_memory
from gas.errors import SettingError, describe

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.thread_time}
LONGEST_WARMUP = 10  # rounds
AT_ONCE = 1_000_000  # values drawn at a time: a light design's 100,000 rounds would be gigabytes otherwise
FAR_OUT = 3.0  # interquartile ranges above the upper quartile, from where on a call is called an outlier


class SelfTimed(ABC):
    """A callable that is timed by its device, because the clocks of the CPU do not see what it does."""

    @abstractmethod
    def __call__(self) -> object:
        """Runs once, and returns the output when it is there."""

    @abstractmethod
    def elapsed_ms(self) -> float:
        """Runs once, and returns how long that took, milliseconds."""


@dataclass(frozen=True)
class Timing:
    """How long a callable took.

    Args:
        median_ms: Median, milliseconds.
        q1_ms: Lower quartile.
        q3_ms: Upper quartile.
        repeats: Number of timed calls.
        series: The timed calls in order, milliseconds: call i of callables measured together fell in the same round.
        outliers: Timed calls far above the upper quartile; they count all the same.
        settled: Whether the median is known as well as was asked for; False where the time was up before.
    """

    median_ms: float
    q1_ms: float
    q3_ms: float
    repeats: int
    series: tuple[float, ...] = field(default=(), repr=False, compare=False)
    outliers: int = 0
    settled: bool = True

    @classmethod
    def of(cls, series: Sequence[float], *, settled: bool = True) -> Timing:
        """Summary of a series in milliseconds."""
        q1, median, q3 = np.percentile(series, (25, 50, 75))
        far = int(np.sum(np.asarray(series) > q3 + FAR_OUT * (q3 - q1)))
        return cls(float(median), float(q1), float(q3), len(series), tuple(series), far, settled)

    @property
    def reach(self) -> float:
        """How far the median's 95% interval reaches, as a share of it; infinite where too few calls were timed."""
        return spread(self.series)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two medians with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """torch computes with `threads` threads inside, and with as many as before afterwards."""
    if threads < 1:
        raise SettingError(f"threads: {describe(threads, 'a whole number of at least 1')}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def conditions(threads: int) -> Iterator[None]:
    """What is timed runs under these: threads of torch pinned, inference mode, no garbage collection, memory kept."""
    keep_memory()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with pinned(threads), torch.inference_mode():
            yield
    finally:
        if was_enabled:
            gc.enable()


def measure(
    callables: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 10.0,
    tolerance: float = 0.02,
    least: int = 7,
    warmup: int = 2,
    threads: int = 1,
    clock: str = "wall",
    seed: int = 0,
    watch: Callable[[int, float], object] | None = None,
) -> dict[str, Timing]:
    """Times the callables beside one another, by the protocol above.

    Args:
        callables: What to time, by name; each is called without arguments. A `SelfTimed` one is asked for its time.
        seconds: Wall time after which no new round begins (once `least` rounds are done), warm-up aside.
        tolerance: Rounds end when the 95% interval of every median reaches no further than this share to either side.
        least: Rounds that are done in any case.
        warmup: Rounds at least before the first that counts; 0 for none at all.
        threads: Threads that torch computes with.
        clock: `wall`, or `cpu`: CPU time of the calling thread, which other processes do not lengthen by taking the
            core away (they still do by taking memory bandwidth); for one thread only.
        seed: Of the order within each round.
        watch: Called between rounds with the rounds done and the seconds they took; what it does is not timed.

    Raises:
        SettingError: Unknown clock, or the CPU clock with several threads.
    """
    if clock not in CLOCKS:
        raise SettingError(f"clock: {describe(clock, 'wall or cpu', known=CLOCKS)}")
    if clock == "cpu" and threads != 1:
        raise SettingError(f"threads: {describe(threads, '1 with the clock cpu, which sees only the calling thread')}")
    rng, names = np.random.default_rng(seed), list(callables)
    timed = {name: timer(run, CLOCKS[clock]) for name, run in callables.items()}
    series: dict[str, list[float]] = {name: [] for name in names}
    with conditions(threads):
        if not callables:
            return {}
        _warm_up(list(timed.values()), warmup, seconds, tolerance)
        begin, look = time.perf_counter(), least
        while True:
            for index in rng.permutation(len(names)):
                series[names[index]].append(timed[names[index]]())
            rounds, passed = len(series[names[0]]), time.perf_counter() - begin
            if watch is not None:
                watch(rounds, passed)
            is_late = passed >= seconds and rounds >= least
            if is_late or rounds >= look:
                settled = {name: spread(times) <= tolerance for name, times in series.items()}
                look = rounds + max(1, rounds // 20)  # thousands of short rounds would pass with looking alone
                if is_late or all(settled.values()):
                    break
    return {name: Timing.of(times, settled=settled[name]) for name, times in series.items()}


def timer(run: Callable[[], object], now: Callable[[], float]) -> Callable[[], float]:
    """What runs a callable once and gives its milliseconds."""
    if isinstance(run, SelfTimed):
        return run.elapsed_ms

    def elapsed_ms() -> float:
        start = now()
        run()
        return 1e3 * (now() - start)

    return elapsed_ms


def _warm_up(timed: Sequence[Callable[[], float]], least: int, seconds: float, tolerance: float) -> None:
    """`least` rounds; then more while callables, at the median, get faster by more than `tolerance` with each.

    Ends after LONGEST_WARMUP rounds, and takes no more than a quarter of `seconds` beyond the least.
    """
    end = time.perf_counter() + seconds / 4
    best = np.full(len(timed), math.inf)
    for number in range(max(least, LONGEST_WARMUP) if least else 0):
        times = np.asarray([each() for each in timed])
        falls = bool(np.median(times / np.maximum(best, 1e-9)) < 1 - tolerance)
        best = np.minimum(best, times)
        if number + 1 >= least and (not falls or number == 0 or time.perf_counter() >= end):
            break


def spread(series: Sequence[float]) -> float:
    """Reach of the 95% interval of a median, as a share of it: the farther end; infinite for fewer than 6 values.

    The interval is that of order statistics: no shape of the distribution is assumed.
    """
    place = _place(len(series))
    if not place:
        return math.inf
    ordered = np.sort(np.asarray(series))
    median = float(np.median(ordered))
    return float(max(median - ordered[place - 1], ordered[-place] - median)) / max(median, 1e-12)


@lru_cache(maxsize=4096)
def _place(n: int) -> int:
    """The largest d for which the d-th least and the d-th greatest of n values enclose the median 19 times in 20.

    Fewer than d of the values lie below the median with a binomial probability, which must be 2.5% at most. 0 for none.
    """
    from scipy.special import bdtrik

    return max(0, math.ceil(bdtrik(0.025, n, 0.5))) if n > 5 else 0


def ratio(first: Timing, second: Timing, *, resamples: int = 2000, seed: int = 0) -> Ratio:
    """Median of the first over median of the second, for two timings of the same `measure` call.

    The interval is a percentile bootstrap over rounds: both times of a round are drawn together, so what slowed the
    whole machine in a round cancels.

    Raises:
        SettingError: The two do not have the same rounds, so they were not measured beside one another.
    """
    if len(first.series) != len(second.series) or not first.series:
        rounds = f"{len(first.series)} and {len(second.series)} rounds"
        raise SettingError(f"ratio: {describe(rounds, 'two timings of one call of measure')}")
    a, b = np.asarray(first.series), np.asarray(second.series)
    rng, ratios, at_once = np.random.default_rng(seed), [], max(1, AT_ONCE // len(a))
    for begin in range(0, resamples, at_once):
        drawn = rng.integers(len(a), size=(min(at_once, resamples - begin), len(a)))
        ratios.append(np.median(a[drawn], axis=1) / np.median(b[drawn], axis=1))
    low, high = np.percentile(np.concatenate(ratios), (2.5, 97.5))
    return Ratio(float(np.median(a) / np.median(b)), float(low), float(high))
