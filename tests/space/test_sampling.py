"""Uniform draws of feasible designs: chi-squared against every design, marginals against plain rejection."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from space.brute import written_out
from space.test_counting import FREE
from space.test_properties import attempt, spaces

from gas.errors import SettingError, SpaceError
from gas.evaluation import Constraint
from gas.space import SearchSpace, load_space
from gas.space.programme import greatest_share
from gas.space.sampling import Sampler
from gas.space.windows import Window

SIGNIFICANCE = 1e-4  # of each test below; the seeds are fixed, so that a result stays what it is


@cache
def loaded(name: str) -> SearchSpace:
    return load_space(name)


def window_of(space: SearchSpace, macs: tuple, params: tuple) -> Window:
    return Window.of([Constraint("macs", *macs), Constraint("params", *params)], space.cost_range)


def assert_uniform(rows: np.ndarray, cells: int) -> None:
    """Every one of `cells` designs is drawn, as often as chance has it."""
    distinct, counts = np.unique(rows, axis=1, return_counts=True)
    assert distinct.shape[1] <= cells
    expected = rows.shape[1] / cells
    statistic = ((counts - expected) ** 2).sum() / expected + (cells - distinct.shape[1]) * expected
    assert chi2.sf(statistic, cells - 1) > SIGNIFICANCE
    # Nor more evenly than chance; of a few designs even the most even draw is likely.
    assert cells < 100 or chi2.cdf(statistic, cells - 1) > SIGNIFICANCE


@pytest.mark.parametrize("ways", [200, 5_000, 200_000])
@pytest.mark.parametrize(
    ("macs", "params"),
    [
        ((-np.inf, 5e6), (-np.inf, 500e3)),
        (FREE, (-np.inf, 500e3)),
        ((-np.inf, 2e6), FREE),
        ((4e6, np.inf), (-np.inf, 3e5)),
        ((3e6, 3.3e6), (3e5, 4e5)),
        (FREE, FREE),
    ],
)
def test_tiny_is_drawn_uniformly(macs: tuple, params: tuple, ways: int) -> None:
    space = loaded("tiny")
    window = window_of(space, macs, params)
    every = Sampler(space.arrays, window_of(space, FREE, FREE), 10**6)  # one link: all designs written out
    costs = every._last.link.rows
    assert costs.shape[1] == 32_076
    found = space.designs(costs.T)
    inside = (found.macs >= macs[0]) & (found.macs <= macs[1])
    inside &= (found.params >= params[0]) & (found.params <= params[1])
    sampler = Sampler(space.arrays, window, ways)
    assert (len(sampler._steps) > 0) == (ways < 10_000)
    drawn = sampler.draw(30 * int(inside.sum()), np.random.default_rng(11))
    designs = space.designs(drawn.T)
    assert designs.macs.min() >= macs[0]
    assert designs.macs.max() <= macs[1]
    assert designs.params.min() >= params[0]
    assert designs.params.max() <= params[1]
    assert_uniform(drawn, int(inside.sum()))


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces(), st.data())
def test_random_spaces_with_ties_and_rules(text: str, data: st.DataObject) -> None:
    space = attempt(text)
    if isinstance(space, SpaceError):
        return
    costs = {design.id: cost for design, _, cost in written_out(text)}
    macs, params = (sorted(c) for c in zip(*costs.values(), strict=True))
    low, high = sorted(data.draw(st.tuples(st.sampled_from(macs), st.sampled_from(macs))))
    most = data.draw(st.sampled_from(params))
    within = {id for id, (m, p) in costs.items() if low <= m <= high and p <= most}
    window = window_of(space, (low, high), (-np.inf, most))
    ways = data.draw(st.sampled_from([1, 5, 10**6]))
    if not within:
        with pytest.raises(SettingError):
            Sampler(space.arrays, window, 10**6)
        return
    drawn = Sampler(space.arrays, window, ways).draw(40 * len(within) + 100, np.random.default_rng(5))
    counts = Counter(design.id for design in space.designs(drawn.T))
    assert set(counts) == within
    if len(within) > 1:
        assert_uniform(drawn, len(within))


def test_turbovit_agrees_with_plain_rejection() -> None:
    space = loaded("turbovit")
    drawn = space.sample_feasible(40_000, 1)
    assert drawn.macs.max() <= 2.2e9
    assert drawn.params.max() <= 12.7e6
    everything = Sampler(space.arrays, window_of(space, FREE, FREE)).draw(400_000, np.random.default_rng(2))
    every = space.designs(everything.T)
    kept = every[(every.macs <= 2.2e9) & (every.params <= 12.7e6)]
    for decision, one, other in zip(space.decisions, drawn.codes.T, kept.codes.T, strict=True):
        counts = np.array([np.bincount(each + 1, minlength=len(decision.choices) + 1) for each in (one, other)])
        counts = counts[:, counts.sum(axis=0) > 0]
        totals = counts.sum(axis=1, keepdims=True)
        expected = totals * counts.sum(axis=0) / totals.sum()
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert counts.shape[1] == 1 or chi2.sf(statistic, counts.shape[1] - 1) > SIGNIFICANCE, decision.path
    for one, other in ((drawn.macs, kept.macs), (drawn.params, kept.params)):
        error = np.hypot(one.std() / np.sqrt(len(one)), other.std() / np.sqrt(len(other)))
        assert abs(one.mean() - other.mean()) < 4 * error


@pytest.mark.parametrize("pairs", [1, 2, 1_000, 1 << 15, 1 << 24])
def test_a_share_never_reaches_the_next_pair(pairs: int) -> None:
    greatest = greatest_share(pairs)
    for pair in {0, pairs // 2, pairs - 1}:
        assert np.float64(pair) + greatest < pair + 1
    assert 1 - greatest <= pairs * 2.0**-50


def test_the_seed_alone_decides() -> None:
    space = loaded("turbovit")
    one, same, other = (space.sample_feasible(1_000, seed).rows for seed in (3, np.random.default_rng(3), 4))
    assert (one == same).all()
    assert (one != other).any()
    assert len(space.sample_feasible(0)) == 0


def test_the_order_of_draws_says_nothing() -> None:
    """The first half of a draw and the second have the same mean cost."""
    drawn = loaded("turbovit").sample_feasible(60_000, 9).macs.astype(float)
    halves = drawn[:30_000], drawn[30_000:]
    assert abs(halves[0].mean() - halves[1].mean()) < 4 * drawn.std() * np.sqrt(2 / 30_000)


@pytest.mark.slow
def test_hybrid_is_drawn_within_its_budgets() -> None:
    space = loaded("hybrid")
    drawn = space.sample_feasible(20_000, 0)
    assert drawn.macs.max() <= 2.2e9
    assert drawn.params.max() <= 12.7e6
    costs = space.sample_costs(60_000, 1)
    kept = costs[(costs[:, 0] <= 2.2e9) & (costs[:, 1] <= 12.7e6)]
    for one, other in ((drawn.macs, kept[:, 0]), (drawn.params, kept[:, 1])):
        error = np.hypot(one.std() / np.sqrt(len(one)), other.std() / np.sqrt(len(other)))
        assert abs(one.mean() - other.mean()) < 4 * error


def test_bounds_that_hardly_anything_meets_end_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    space = loaded("turbovit")
    monkeypatch.setattr("gas.space.sampling.PATIENCE", 1)
    sampler = Sampler(space.arrays, window_of(space, FREE, (-np.inf, 12e6)))
    monkeypatch.setattr(sampler, "_inside", lambda ways: np.zeros(len(ways[0]), bool))
    with pytest.raises(SettingError, match=r"^sample_feasible: got none in [\d,]+ proposals; expected bounds"):
        sampler.draw(10, np.random.default_rng(0))
