"""The protocol on a clock that the tests turn themselves: nothing here depends on the speed of the machine."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gas.costs import Timing, measure, pinned, ratio
from gas.costs.measure import LONGEST_WARMUP, SelfTimed, spread
from gas.costs.measure import measure as run
from gas.errors import SettingError


class Clock:
    """Seconds that pass only when a job says so; keeps the order of jobs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: self.seconds))
        monkeypatch.setattr(measure, "CLOCKS", {"wall": lambda: self.seconds, "cpu": lambda: self.seconds / 2})

    def job(self, name: str, duration: Callable[[int], float]) -> Callable[[], None]:
        """A job whose n-th call takes duration(n) seconds."""

        def work() -> None:
            self.seconds += duration(self.calls.count(name))
            self.calls.append(name)

        return work


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_medians_and_quartiles(clock: Clock) -> None:
    times = run({"a": clock.job("a", lambda n: 0.001 * (n + 1))}, warmup=0, least=9, seconds=0)["a"]
    assert (times.q1_ms, times.median_ms, times.q3_ms) == pytest.approx((3, 5, 7))
    assert times.repeats == 9
    assert times.series == pytest.approx(range(1, 10))


def test_every_round_times_each_once_in_an_order_drawn_anew(clock: Clock) -> None:
    jobs = {name: clock.job(name, lambda n: 0.001) for name in "abcd"}
    run(jobs, warmup=1, least=20)
    rounds = ["".join(clock.calls[i : i + 4]) for i in range(0, len(clock.calls), 4)]
    assert len(rounds) == 21
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert len(set(rounds)) > 5
    first, clock.calls = clock.calls, []
    run(jobs, warmup=1, least=20)
    assert clock.calls == first  # the order follows from the seed
    clock.calls = []
    run(jobs, warmup=1, least=20, seed=1)
    assert clock.calls != first


def test_warm_up_is_not_timed(clock: Clock) -> None:
    times = run({"a": clock.job("a", lambda n: 5.0 if n < 3 else 0.001)}, warmup=3, least=7)["a"]
    assert max(times.series) == pytest.approx(1.0)
    assert len(clock.calls) == 3 + times.repeats


def test_rounds_go_on_until_every_median_is_known(clock: Clock) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.8, 1.2, size=5000)
    jobs = {"steady": clock.job("steady", lambda n: 0.001), "noisy": clock.job("noisy", lambda n: 0.001 * noise[n])}
    times = run(jobs, tolerance=0.02, seconds=1e9)
    assert times["steady"].repeats == times["noisy"].repeats > 50
    # Looked at after every 20th part of the rounds: known well enough now, and not when it was looked at before.
    ends = [times["noisy"].repeats]
    while ends[-1] > 7:
        ends.append(next(n for n in range(ends[-1]) if n + max(1, n // 20) >= ends[-1]))
    assert spread(times["noisy"].series) <= 0.02 < spread(times["noisy"].series[: ends[1]])
    assert times["steady"].settled
    assert times["noisy"].settled


def test_warm_up_goes_on_while_calls_get_faster(clock: Clock) -> None:
    jobs = {"a": clock.job("a", lambda n: 0.001 * max(3, 9 - n)), "b": clock.job("b", lambda n: 0.001 * max(3, 9 - n))}
    times = run(jobs)["a"]
    assert clock.calls.count("a") - times.repeats == 8  # the seventh was the first at full speed, the eighth no faster
    assert times.series == pytest.approx([3.0] * times.repeats)


def test_warm_up_is_not_drawn_out_by_one_of_many(clock: Clock) -> None:
    jobs = {name: clock.job(name, lambda n: 0.001) for name in "abcd"} | {
        "e": clock.job("e", lambda n: 0.001 / (n + 1))
    }
    times = run(jobs, seconds=0.05)
    assert clock.calls.count("a") - times["a"].repeats == 2


def test_warm_up_ends(clock: Clock) -> None:
    times = run({"a": clock.job("a", lambda n: 0.9**n)}, seconds=1e9, least=7, tolerance=0.02)["a"]
    assert clock.calls.count("a") - times.repeats == LONGEST_WARMUP
    clock.calls.clear()
    times = run({"a": clock.job("a", lambda n: 10 * 0.9**n)}, seconds=60.0)["a"]
    assert clock.calls.count("a") - times.repeats == 2  # 19 s of the 15 that a quarter of the time is
    clock.calls.clear()
    assert run({"a": clock.job("a", lambda n: 0.9**n)}, warmup=0, seconds=0)["a"].repeats == len(clock.calls)


def test_what_is_not_known_well_enough_says_so(clock: Clock) -> None:
    noise = np.random.default_rng(0).uniform(0.5, 1.5, size=5000)
    jobs = {"steady": clock.job("steady", lambda n: 0.1), "noisy": clock.job("noisy", lambda n: 0.1 * noise[n])}
    times = run(jobs, tolerance=0.001, seconds=5.0)
    assert times["steady"].settled
    assert not times["noisy"].settled
    assert times["steady"].reach == pytest.approx(0.0, abs=1e-9)
    assert times["noisy"].reach == spread(times["noisy"].series) > 0.001


class Device(SelfTimed):
    """Takes no time on the clock of the CPU; by its own account, 3 ms."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> object:
        raise AssertionError("called where its time was wanted")

    def elapsed_ms(self) -> float:
        self.calls += 1
        return 3.0


@pytest.mark.parametrize("how", ["wall", "cpu"])
def test_a_callable_that_times_itself_is_asked(clock: Clock, how: str) -> None:
    device = Device()
    times = run({"device": device, "a": clock.job("a", lambda n: 0.002)}, clock=how)
    assert times["device"].median_ms == 3.0
    assert device.calls == len(clock.calls) > times["device"].repeats


def test_who_watches_is_told_of_every_round_and_takes_no_time(clock: Clock) -> None:
    told = []

    def watch(rounds: int, passed: float) -> None:
        told.append((rounds, passed))
        clock.seconds += 100.0

    times = run({"a": clock.job("a", lambda n: 0.5)}, watch=watch, seconds=1e9)["a"]
    assert [rounds for rounds, _ in told] == list(range(1, times.repeats + 1))
    assert [passed for _, passed in told] == pytest.approx([0.5 + 100.5 * n for n in range(times.repeats)])
    assert times.series == pytest.approx([500.0] * times.repeats)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_outliers_by_definition(values: list[int]) -> None:
    timing = Timing.of([float(value) for value in values])
    q1, q3 = np.quantile(values, 0.25), np.quantile(values, 0.75)
    assert timing.outliers == sum(value > q3 + 3 * (q3 - q1) for value in values)
    assert timing.repeats == len(timing.series) == len(values)  # none is left out


def test_an_outlier_moves_neither_median_nor_quartiles() -> None:
    calm = [float(value) for value in range(100, 140)]
    usual, disturbed = Timing.of(calm), Timing.of([*calm[:-1], 1e6])
    assert (disturbed.median_ms, disturbed.q1_ms, disturbed.q3_ms) == (usual.median_ms, usual.q1_ms, usual.q3_ms)
    assert (usual.outliers, disturbed.outliers) == (0, 1)


def test_time_is_up(clock: Clock) -> None:
    noise = np.random.default_rng(0).uniform(0.5, 1.5, size=5000)
    times = run({"a": clock.job("a", lambda n: 0.1 * noise[n])}, tolerance=1e-6, seconds=5.0)["a"]
    assert sum(times.series[:-1]) / 1e3 < 5.0 <= sum(times.series) / 1e3
    assert run({"b": clock.job("b", lambda n: 100.0 * noise[n])}, seconds=5.0, least=7)["b"].repeats == 7


def test_the_cpu_clock(clock: Clock) -> None:
    times = run({"a": clock.job("a", lambda n: 0.002)}, clock="cpu")["a"]
    assert times.median_ms == pytest.approx(1.0)


def test_the_conditions_inside_and_after() -> None:
    seen = []
    before = torch.get_num_threads()
    with pinned(2):
        run({"a": lambda: seen.append((torch.get_num_threads(), gc.isenabled(), torch.is_inference_mode_enabled()))})
        assert torch.get_num_threads() == 2
    assert set(seen) == {(1, False, True)}
    assert gc.isenabled()
    assert torch.get_num_threads() == before


def test_conditions_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run({"a": fail}, threads=2)
    assert gc.isenabled()
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"clock": "wal"}, "clock: got 'wal'; expected wall or cpu; did you mean 'wall'"),
        ({"clock": "cpu", "threads": 2}, "threads: got 2; expected 1 with the clock cpu"),
        ({"threads": 0}, "threads: got 0; expected a whole number of at least 1"),
    ],
)
def test_settings_that_cannot_be(options: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        run({"a": lambda: None}, **options)


def test_nothing_to_measure() -> None:
    assert run({}) == {}


def test_spread_reaches_the_true_median_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(500):
        series = rng.lognormal(0, 0.5, size=25)  # median 1
        hits.append(abs(np.median(series) - 1.0) <= spread(series) * np.median(series))
    assert 0.94 <= np.mean(hits) <= 1.0


def test_spread_by_hand() -> None:
    assert spread([1.0] * 5) == np.inf
    assert spread([2.0] * 9) == 0
    ordered = list(range(1, 17))  # of 16 values, fewer than 4 lie below the median once in 94: so 4 and 13 around 8.5
    assert spread(ordered) == pytest.approx(4.5 / 8.5)
    assert spread([1.0, 2, 3, 4, 5, 10]) == pytest.approx(6.5 / 3.5)  # of 6, the least and the greatest


@pytest.mark.parametrize("n", [*range(1, 120), 500, 999, 1500])
def test_the_interval_of_a_median_is_the_shortest_that_covers_19_of_20(n: int) -> None:
    def covered(d: int) -> int:
        """In how many of 2**n cases the d-th least and the d-th greatest of n values enclose the median."""
        return sum(comb(n, below) for below in range(d, n - d + 1))

    values = [float(value) for value in range(n)]  # so that the reach tells the place
    reach, middle = spread(values) * max(np.median(values), 1e-12), (n - 1) / 2
    if reach == np.inf:
        assert 20 * covered(1) < 19 * 2**n
        return
    place = round(middle - reach) + 1
    assert 20 * covered(place) >= 19 * 2**n > 20 * covered(place + 1)


def test_a_ratio_is_free_of_what_slows_the_whole_machine() -> None:
    noise = np.random.default_rng(0).lognormal(0, 0.5, size=40)
    value = ratio(Timing.of(3.0 * noise), Timing.of(2.0 * noise))
    assert (value.low, value.value, value.high) == pytest.approx((1.5, 1.5, 1.5))


def test_a_ratio_of_interleaved_jobs_survives_a_drift(clock: Clock) -> None:
    def slow(n: int) -> float:
        return 1.0 + clock.seconds / 2000  # the machine gets slower and slower

    jobs = {"a": clock.job("a", lambda n: 2 * slow(n)), "b": clock.job("b", slow)}
    times = run(jobs, tolerance=0, least=60, seconds=0)
    assert max(times["b"].series) > 1.05 * min(times["b"].series)
    assert ratio(times["a"], times["b"]).value == pytest.approx(2.0, rel=0.01)


def test_the_interval_of_a_ratio_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    hits = []
    for seed in range(120):
        a, b = 1.5 * rng.lognormal(0, 0.2, size=31), rng.lognormal(0, 0.2, size=31)
        value = ratio(Timing.of(a), Timing.of(b), resamples=400, seed=seed)
        assert value.low <= value.value <= value.high
        hits.append(value.low <= 1.5 <= value.high)
    assert np.mean(hits) >= 0.88


def test_a_ratio_against_every_resample_there_is() -> None:
    a, b = [1.0, 2.0, 4.0, 9.0], [1.0, 3.0, 2.0, 4.0]
    every = [
        np.median([a[i] for i in drawn]) / np.median([b[i] for i in drawn])
        for drawn in itertools.product(range(4), repeat=4)
    ]
    value = ratio(Timing.of(a), Timing.of(b), resamples=20_000)
    low, high = np.percentile(every, (2.5, 97.5))
    assert (value.low, value.high) == pytest.approx((low, high))
    assert value.value == pytest.approx(3.0 / 2.5)


def test_a_ratio_needs_timings_of_one_call() -> None:
    with pytest.raises(SettingError, match="got '2 and 3 rounds'; expected two timings of one call"):
        ratio(Timing.of([1.0, 2.0]), Timing.of([1.0, 2.0, 3.0]))
