"""How gas measures time: one protocol, used by every latency that it prints or decides upon.

Threads pinned, no gradients, no garbage collection in between; a warm-up; then rounds in which every callable runs
once, in an order shuffled anew, so that what the machine does meanwhile meets all of them alike. Rounds go on until
each median is known well enough or the time is up. Results are medians with quartiles.

Times of different calls of `measure` are not comparable more closely than the machine is steady (a third, on shared
hardware); a ratio is claimed only between callables of the same call.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gas.errors import SettingError, describe

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.thread_time}


@dataclass(frozen=True)
class Timing:
    """How long a callable took.

    Args:
        median_ms: Median, milliseconds.
        q1_ms: Lower quartile.
        q3_ms: Upper quartile.
        repeats: Number of timed calls.
        series: The timed calls in order, milliseconds: call i of callables measured together fell in the same round.
    """

    median_ms: float
    q1_ms: float
    q3_ms: float
    repeats: int
    series: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, series: Sequence[float]) -> Timing:
        """Summary of a series in milliseconds."""
        q1, median, q3 = np.percentile(series, (25, 50, 75))
        return cls(float(median), float(q1), float(q3), len(series), tuple(series))


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
def _quiet() -> Iterator[None]:
    """No gradients and no garbage collection inside."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with torch.inference_mode():
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
) -> dict[str, Timing]:
    """Times the callables beside one another.

    Args:
        callables: What to time, by name; each is called without arguments.
        seconds: Wall time after which no new round begins (once `least` rounds are done).
        tolerance: Rounds end when the 95% interval of every median reaches no further than this share to either side.
        least: Rounds that are done in any case.
        warmup: Rounds before the first that counts.
        threads: Threads that torch computes with.
        clock: `wall`, or `cpu`: CPU time of the calling thread, which other processes do not lengthen by taking the
            core away (they still do by taking memory bandwidth); for one thread only.
        seed: Of the order within each round.

    Raises:
        SettingError: Unknown clock, or the CPU clock with several threads.
    """
    if clock not in CLOCKS:
        raise SettingError(f"clock: {describe(clock, 'wall or cpu', known=CLOCKS)}")
    if clock == "cpu" and threads != 1:
        raise SettingError(f"threads: {describe(threads, '1 with the clock cpu, which sees only the calling thread')}")
    now, rng, names = CLOCKS[clock], np.random.default_rng(seed), list(callables)
    series: dict[str, list[float]] = {name: [] for name in names}
    with pinned(threads), _quiet():
        for _ in range(warmup):
            for name in names:
                callables[name]()
        end = time.perf_counter() + seconds
        done = not names
        while not done:
            for index in rng.permutation(len(names)):
                run = callables[names[index]]
                start = now()
                run()
                series[names[index]].append(1e3 * (now() - start))
            rounds = len(series[names[0]])
            settled = rounds >= least and all(spread(times) <= tolerance for times in series.values())
            done = settled or (rounds >= least and time.perf_counter() >= end)
    return {name: Timing.of(times) for name, times in series.items()}


def spread(series: Sequence[float]) -> float:
    """Reach of the 95% interval of a median, as a share of it: the farther end; infinite for fewer than 6 values.

    The interval is that of order statistics: no shape of the distribution is assumed.
    """
    n = len(series)
    reach = 0.98 * math.sqrt(n)  # 1.96 deviations of a binomial with n trials and p = 1/2
    low, high = math.floor(n / 2 - reach), math.ceil(n / 2 + reach)
    if low < 0 or high >= n:
        return math.inf
    ordered = np.sort(np.asarray(series))
    median = float(np.median(ordered))
    return float(max(median - ordered[low], ordered[high] - median)) / max(median, 1e-12)


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
    drawn = np.random.default_rng(seed).integers(len(a), size=(resamples, len(a)))
    ratios = np.median(a[drawn], axis=1) / np.median(b[drawn], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Ratio(float(np.median(a) / np.median(b)), float(low), float(high))
