"""Counts of feasible designs against every design written out, exact or bounded, one budget or two."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from space.brute import written_out
from space.test_properties import attempt, spaces

from gas.errors import SettingError, SpaceError
from gas.evaluation import Constraint
from gas.space import SearchSpace, counting, load_space
from gas.space.counting import Count, count_within
from gas.space.dominance import Cells, Sorted
from gas.space.windows import Window

HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]
EFFORTS: list[dict[str, int]] = [
    {},
    {"held": 0, "line": 0},
    {"held": 40, "line": 0, "cells": 16},
    {"held": 20, "streamed": 60, "line": 0, "cells": 4},
]


@cache
def loaded(name: str) -> SearchSpace:
    return load_space(name)


@cache
def tiny_costs() -> np.ndarray:
    """(n, 2) macs and params of every design: all rows joined, one segment after another."""
    layers = loaded("tiny").arrays.layers
    states, costs = np.zeros(1, int), np.zeros((1, 2), int)
    for rows in layers:
        pairs = [(i, r) for i, s in enumerate(states) for r in range(rows.first[s], rows.first[s + 1])]
        mine, row = map(np.array, zip(*pairs, strict=True))
        states, costs = rows.after[row], costs[mine] + rows.costs[row]
    return costs


def window_of(costs: np.ndarray, macs: tuple, params: tuple) -> tuple[Window, int]:
    """A window and how many costs lie in it."""
    bounds = [Constraint("macs", *macs), Constraint("params", *params)]
    ends = {name: (int(c.min()), int(c.max())) for name, c in zip(("macs", "params"), costs.T, strict=True)}
    inside = (costs >= [macs[0], params[0]]) & (costs <= [macs[1], params[1]])
    return Window.of(bounds, ends), int(inside.all(axis=1).sum())


def check(space: SearchSpace, costs: np.ndarray, macs: tuple, params: tuple) -> None:
    window, expected = window_of(costs, macs, params)
    for number, effort in enumerate(EFFORTS):
        found = count_within(space._chain, window, **effort)
        assert found.low <= expected <= found.high
        assert found.total == len(costs)
        assert found.exact or number, "small halves are sorted"


FREE = (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("macs", "params"),
    [
        ((-np.inf, 5e6), FREE),
        (FREE, (-np.inf, 500e3)),
        ((-np.inf, 5e6), (-np.inf, 500e3)),
        ((3e6, 5e6), (-np.inf, 500e3)),
        ((3e6, 5e6), (2e5, 500e3)),
        ((2e6, np.inf), (4.1e5, np.inf)),
        ((4e6, 4.00001e6), (1e5, 5e5)),
        ((5e6, 3e6), FREE),
        (FREE, FREE),
    ],
)
def test_tiny(macs: tuple, params: tuple) -> None:
    space, costs = loaded("tiny"), tiny_costs()
    assert len(costs) == 32_076
    window, expected = window_of(costs, macs, params)
    assert count_within(space._chain, window) == Count(expected, expected, 32_076)
    for effort in EFFORTS[1:]:
        found = count_within(space._chain, window, **effort)
        assert found.low <= expected <= found.high


def test_an_end_belongs_to_the_window() -> None:
    space, costs = loaded("tiny"), tiny_costs()
    macs, times = np.unique(costs[:, 0], return_counts=True)
    for i in (0, 7, len(macs) // 2, len(macs) - 1):
        for low, high in ((macs[i], macs[i]), (macs[i] - 0.5, macs[i] + 0.5)):
            bounds = [Constraint("macs", float(low), float(high))]
            window = Window.of(bounds, space.cost_range)
            assert int(count_within(space._chain, window)) == times[i]
            assert window.holds([costs[:, c] for c in window.columns]).sum() == times[i]
        above = Window.of([Constraint("macs", low=float(macs[i]) + 0.5)], space.cost_range)
        assert int(count_within(space._chain, above)) == times[i + 1 :].sum()


def test_the_bounds_narrow_with_effort() -> None:
    window, expected = window_of(tiny_costs(), (-np.inf, 5e6), (-np.inf, 5e5))
    gaps = []
    for cells in (64, 4_096, 1 << 18):
        found = count_within(loaded("tiny")._chain, window, held=250, cells=cells)
        assert found.low <= expected <= found.high
        gaps.append(found.high - found.low)
    assert gaps[0] > gaps[1] > gaps[2]


@settings(max_examples=25, suppress_health_check=HEALTH)
@given(spaces(), st.data())
def test_random_spaces(text: str, data: st.DataObject) -> None:
    space = attempt(text)
    if isinstance(space, SpaceError):
        return
    costs = np.array([cost for _, _, cost in {d.id: (d, e, c) for d, e, c in written_out(text)}.values()])
    ends = [sorted(data.draw(st.tuples(*[st.sampled_from(sorted(set(c.tolist())))] * 2))) for c in costs.T]
    free = data.draw(st.sampled_from([(), (0,), (1,)]))
    macs, params = (FREE if i in free else tuple(end) for i, end in enumerate(ends))
    check(space, costs, macs, params)


@pytest.mark.parametrize("effort", EFFORTS)
def test_numbers_beyond_64_bits(effort: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of tiny's first four choices taken a million times: counts grow by 10**24, exactly."""
    space, times = loaded("tiny"), 10**6
    window, expected = window_of(tiny_costs(), (3e6, 5e6), (-np.inf, 5e5))
    plain = counting._classes
    chain = _Larger(space._chain, times**4)

    def many(chain: Any, number: int, columns: tuple[int, ...]) -> Any:
        sets = plain(chain, number, columns)
        factor = times if number < 4 else 1
        return {ends: counting.Points(p.costs, p.ways * factor) for ends, p in sets.items()}

    small = count_within(space._chain, window, **effort)
    monkeypatch.setattr(counting, "_classes", many)
    found = count_within(chain, window, **effort)
    assert (found.low, found.high) == (small.low * times**4, small.high * times**4)
    assert found.low <= expected * times**4 <= found.high
    assert found.high > 1 << 64


class _Larger:
    """A chain that says it has more designs."""

    def __init__(self, chain: Any, times: int) -> None:
        self.layers, self.size = chain.layers, chain.size * times


def test_bundled_budgets() -> None:
    turbovit = loaded("turbovit")
    count = turbovit.count(feasible=True)
    assert turbovit.count() == turbovit.size() == 295_238_701_440
    assert count.exact
    assert int(count) == count.low == 49_135_449_172
    share, low, high = turbovit.feasible_share()
    assert low < count.share[0] < high
    assert count.share[0] == pytest.approx(share, abs=0.02)
    assert str(count) == "49,135,449,172"


@pytest.mark.slow
def test_a_large_space_has_bounds_that_agree_with_draws() -> None:
    hybrid = loaded("hybrid")
    count = hybrid.count(feasible=True, quick=True)
    assert not count.exact
    assert count.share[1] - count.share[0] < 0.02
    _, low, high = hybrid.feasible_share(200_000)
    assert low < count.share[1]
    assert count.share[0] < high
    with pytest.raises(SettingError, match=r"^count: got the bounds .* to .*; expected an exact number$"):
        int(count)


@settings(max_examples=50)
@given(st.data(), st.integers(1, 2), st.integers(1, 60), st.sampled_from([None, 101]))
def test_dominance_is_what_comparing_all_says(data: st.DataObject, columns: int, n: int, modulus: int | None) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    points, ways = rng.integers(0, 12, (n, columns)), rng.integers(1, 100, n)
    limits = rng.integers(-2, 15, (40, columns))
    expected = ((points[None] <= limits[:, None]).all(axis=-1) * ways).sum(axis=1)
    expected = expected if modulus is None else expected % modulus
    assert (Sorted(points, ways, modulus).look(limits) == expected).all()
    ones = np.ones(columns, dtype=np.int64)
    exact, coarse = (Cells(0 * ones, 11 * ones, ones, number) for number in (400, 9))
    for cells in (exact, coarse):
        cells.enter(points, ways)
        cells.close(modulus)
    assert not exact.slack.any()
    assert (exact.look(limits) == expected).all()
    if modulus is None:
        assert (coarse.look(limits) >= expected).all()
        assert (coarse.look(limits - coarse.slack) <= expected).all()


def test_primes_and_remainders() -> None:
    number = 3**90
    moduli = list(counting._primes(4 * number))
    assert all(2**30 < p < 2**31 and all(p % q for q in range(2, 46_341)) for p in moduli)
    assert len(set(moduli)) == len(moduli)
    for each in (number, -number, 0, 1, -1):
        assert counting._restored([each % p for p in moduli], moduli) == each
