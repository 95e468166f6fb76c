"""The parameterised generator: its probabilities, what moves them, and what it writes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gas.generators._policy import BANDS, LEAST, Policy
from gas.space import SearchSpace, load_space
from gas.space.designs import Designs


@cache
def tiny() -> SearchSpace:
    return load_space("tiny")


@cache
def feasible() -> Designs:
    return tiny().sample_feasible(2000, 0)


def check_probabilities(policy: Policy) -> None:
    """Every row sums to 1, is 0 beyond a decision's choices and never quite gives up one of them."""
    np.testing.assert_allclose(policy.probabilities.sum(axis=-1), 1.0)
    for number, decision in enumerate(tiny().decisions):
        count = len(decision.choices)
        mine = policy.probabilities[:, number]
        assert (mine[..., count:] == 0).all()
        assert mine[..., :count].min() >= LEAST / count - 1e-12


def moved(codes: NDArray, sizes: NDArray, times: int = 1, **how: object) -> Policy:
    policy = Policy(tiny().decisions)
    for _ in range(times):
        policy.move(codes, sizes, **how)
    return policy


def test_it_begins_even() -> None:
    policy = Policy(tiny().decisions)
    for number, decision in enumerate(tiny().decisions):
        np.testing.assert_allclose(
            policy.probabilities[:, number, :, : len(decision.choices)], 1 / len(decision.choices)
        )


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_probabilities_stay_probabilities(count: int, times: int, seed: int, weighed: bool) -> None:
    rng = np.random.default_rng(seed)
    some = feasible()[rng.integers(len(feasible()), size=count)]
    weights = rng.random(count) if weighed else None
    check_probabilities(moved(some.codes, some.macs, times, weights=weights))


def test_moving_to_nothing_changes_nothing() -> None:
    policy = moved(feasible().codes[:0], feasible().macs[:0])
    np.testing.assert_array_equal(policy.probabilities, Policy(tiny().decisions).probabilities)


def test_one_prototype_is_what_is_mostly_written() -> None:
    codes = feasible().codes[5:6]
    policy = moved(codes, np.zeros(1), times=20)
    check_probabilities(policy)
    written = policy.write(tiny().writer(), 4000, np.random.default_rng(0))
    same = (written.codes == codes).all(axis=1)
    even = Policy(tiny().decisions).write(tiny().writer(), 4000, np.random.default_rng(0))
    assert same.mean() > 0.3
    assert (even.codes == codes).all(axis=1).mean() < 0.01
    assert len(np.unique(written.rows, axis=0)) > 100  # and much else


def test_chances_after_a_move_are_the_shares_given_the_choice_before() -> None:
    """By counting: with a rate of 1, what is written repeats pairs of neighbouring choices as often as they came."""
    some = feasible()[np.arange(0, 2000, 2)]
    policy = Policy(tiny().decisions, rate=1.0)
    policy.move(some.codes, np.zeros(len(some)))  # no size: bands by order
    codes = some.codes.astype(int)
    bands = np.arange(len(some)) * BANDS // len(some)
    for decision in (1, 4, 7):
        for band in (0, 5):
            for before in np.unique(codes[:, decision - 1]):
                mine = (bands == band) & (codes[:, decision - 1] == before) & (codes[:, decision] >= 0)
                if mine.sum() < 40:
                    continue
                choices = len(tiny().decisions[decision].choices)
                shares = np.bincount(codes[mine, decision], minlength=choices) / mine.sum()
                ours = policy.probabilities[band, decision, before + 1, :choices]
                np.testing.assert_allclose(ours, (1 - LEAST) * shares + LEAST / choices, atol=0.02)


def test_bands_learn_from_their_own_sizes() -> None:
    order = np.argsort(feasible().macs)
    some = feasible()[np.concatenate([order[:200], order[-200:]])]
    policy = moved(some.codes, some.macs, times=4)
    rng = np.random.default_rng(0)
    small, large = (_only(policy, band).write(tiny().writer(), 500, rng).macs.mean() for band in (0, BANDS - 1))
    assert small < 0.7 * large


def _only(policy: Policy, band: int) -> Policy:
    """A policy that is the same in every band."""
    alone = Policy(tiny().decisions)
    alone.probabilities = np.repeat(policy.probabilities[band : band + 1], BANDS, axis=0)
    return alone


def test_a_few_designs_teach_every_band() -> None:
    policy = moved(feasible().codes[:3], feasible().macs[:3])
    for band in range(1, BANDS):
        np.testing.assert_allclose(policy.probabilities[band], policy.probabilities[0])


def test_weights_count() -> None:
    pair = feasible()[np.array([0, 1])]
    apart = np.flatnonzero((pair.codes[0] != pair.codes[1]) & (pair.codes >= 0).all(axis=0))[0]
    policy = moved(pair.codes, pair.macs, weights=np.array([9.0, 1.0]))
    first, second = pair.codes[:, apart]
    before = pair.codes[0, apart - 1] + 1 if apart else 0
    chances = policy.probabilities[0, apart, before]
    assert chances[first] > 2 * chances[second]


@pytest.mark.parametrize("bounded", [True, False])
def test_it_writes_designs_of_the_space_within_the_bounds(bounded: bool) -> None:
    policy = moved(feasible().codes, feasible().macs)
    designs = policy.write(tiny().writer(feasible=bounded), 3000, np.random.default_rng(1))
    assert len(designs) > 2900
    assert len(tiny().designs(rows=designs.rows)) == len(designs)  # looked at row by row
    assert tiny().within(designs).all() or not bounded
    again = policy.write(tiny().writer(feasible=bounded), 3000, np.random.default_rng(1))
    np.testing.assert_array_equal(designs.rows, again.rows)
