"""The table of improvements against exact hypervolumes, and against draws where the value is uncertain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from gas.generators._improvement import CELLS, LEVELS, QUANTILES, CostTable, quantiles
from gas.pareto import hypervolume

MOST = 8.0


def front(costs: int, seed: int, count: int = 12) -> tuple[NDArray, NDArray]:
    """Costs between 0 and 1 and gains up to MOST of made-up designs; cheaper ones gain less."""
    rng = np.random.default_rng(seed)
    places = rng.random((count, costs))
    return places, MOST * 0.9 * places.mean(axis=1) * rng.uniform(0.5, 1.0, count)


def added(costs: NDArray, gains: NDArray, cost: NDArray, gain: float) -> float:
    """The hypervolume that one more design adds; the reference is at costs of 1 and a gain of 0."""
    losses = np.column_stack([-gains, costs])
    more = np.vstack([losses, [-gain, *cost]])
    point = [0.0] + [1.0] * costs.shape[1]
    return hypervolume(more, point) - hypervolume(losses, point)


def table(places: NDArray, gains: NDArray, edges: list[NDArray]) -> CostTable:
    made = CostTable(edges, MOST)
    for place, gain in zip(places, gains, strict=True):
        made.add(place, gain)
    return made


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(0, 10_000))
def test_on_the_edges_of_cells_and_levels_it_is_exact(costs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = [np.unique(np.r_[0.0, rng.random(9), 1.0]) for _ in range(costs)]
    pick = lambda n: np.column_stack([rng.choice(e[:-1], n) for e in edges])  # noqa: E731
    levels = np.linspace(0, MOST, LEVELS)
    places, gains = pick(10), rng.choice(levels, 10)
    asked, gain = pick(6), rng.choice(levels, (1, 6))
    ours = table(places, gains, edges).improvement(asked, gain)
    expected = [added(places, gains, *one) for one in zip(asked, gain[0], strict=True)]
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("costs", [1, 2, 3, 4])
def test_anywhere_it_is_exact_to_the_size_of_its_cells(costs: int) -> None:
    places, gains = front(costs, 0)
    asked, gain = front(costs, 1, 200)
    usual = np.random.default_rng(2).random((4000, costs))
    made = CostTable.around(usual, np.ones(costs), MOST)
    for one, value in zip(places, gains, strict=True):
        made.add(one, value)
    ours = made.improvement(asked, gain[None] * 1.3)
    expected = np.array([added(places, gains, a, g * 1.3) for a, g in zip(asked, gain, strict=True)])
    side = max(np.diff(edges).max() for edges in made._edges)
    assert np.abs(ours - expected).max() < MOST * costs * side + MOST / LEVELS  # as if every cost were a cell off
    assert np.corrcoef(ours, expected)[0, 1] > {1: 0.999, 2: 0.99, 3: 0.95, 4: 0.8}[costs]
    assert all(len(e) - 1 <= CELLS[costs] for e in made._edges)


@pytest.mark.parametrize("costs", [1, 2])
def test_of_an_uncertain_value_it_is_the_expectation(costs: int) -> None:
    places, gains = front(costs, 3)
    asked, means = front(costs, 4, 15)
    spread = np.linspace(0.2, 2.0, 15)
    usual = np.random.default_rng(2).random((4000, costs))
    made = CostTable.around(usual, np.ones(costs), 2 * MOST)
    for one, value in zip(places, gains, strict=True):
        made.add(one, value)
    ours = made.improvement(asked, quantiles(means, spread))
    values = means + spread * norm.ppf((np.arange(400) + 0.5) / 400)[:, None]
    expected = [np.mean([added(places, gains, asked[k], max(v, 0.0)) for v in values[:, k]]) for k in range(len(asked))]
    np.testing.assert_allclose(ours, expected, atol=0.12 * np.max(expected))
    assert np.corrcoef(ours, expected)[0, 1] > 0.97


def test_quantiles_have_the_mean_and_the_deviation() -> None:
    mean, spread = np.array([1.0, -3.0]), np.array([2.0, 0.0])
    values = quantiles(mean, spread)
    assert values.shape == (QUANTILES, 2)
    np.testing.assert_allclose(values.mean(axis=0), mean)
    np.testing.assert_allclose(values.std(axis=0), spread)
    assert (np.diff(values[:, 0]) > 0).all()


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(0, 10_000))
def test_greater_gains_and_smaller_costs_never_add_less(costs: int, seed: int) -> None:
    made = table(*front(costs, seed), [np.linspace(0, 1, 14)] * costs)
    rng = np.random.default_rng(seed)
    asked, gain = rng.random((50, costs)), MOST * rng.random((1, 50))
    before = made.improvement(asked, gain)
    assert (before >= 0).all()
    assert (made.improvement(asked, gain + rng.random(50)) >= before - 1e-6).all()
    assert (made.improvement(asked * rng.random((50, costs)), gain) >= before - 1e-6).all()
    made.add(asked[0], float(gain[0, 0]))  # what is known adds nothing a second time
    after = made.improvement(asked, gain)
    assert after[0] <= MOST / LEVELS
    assert (after <= before + 1e-6).all()


@pytest.mark.parametrize("costs", [1, 2])
def test_nothing_lies_beyond_the_reference_point(costs: int) -> None:
    made = CostTable([np.linspace(0, 1, 5)] * costs, MOST)
    cheap, dear = np.full((1, costs), 0.3), np.full((1, costs), 1.01)
    assert made.improvement(dear, np.array([[5.0]])) == 0
    for gain in (-1.0, 0.0, -np.inf):
        assert made.improvement(cheap, np.array([[gain]])) == 0
    made.add(dear[0], 7.0)
    made.add(cheap[0], -2.0)
    made.add(cheap[0], -np.inf)
    assert made.improvement(cheap, np.array([[4.0]]))[0] == pytest.approx(4.0 * 0.75**costs)


def test_gains_beyond_the_greatest_count_as_that() -> None:
    made = CostTable([np.linspace(0, 1, 5)], MOST)
    ours = made.improvement(np.array([[0.0], [0.0]]), np.array([[MOST, 10 * MOST]]))
    np.testing.assert_allclose(ours, MOST, rtol=1e-5)


def test_without_costs_it_is_the_gain_on_the_best() -> None:
    made = CostTable([], MOST)
    made.add(np.zeros(0), 3.0)
    ours = made.improvement(np.zeros((3, 0)), np.array([[2.0, 4.0, 5.0], [3.5, 4.0, 5.0]]))
    np.testing.assert_allclose(ours, [0.25, 1.0, 2.0], atol=2 * MOST / LEVELS)


def test_costs_that_do_not_vary_and_ones_that_are_all_beyond() -> None:
    alike = CostTable.around(np.full((9, 1), 4.0), np.array([4.0]), MOST)
    assert alike.improvement(np.array([[4.0]]), np.array([[1.0]]))[0] > 0
    beyond = CostTable.around(np.full((9, 2), 4.0), np.array([3.0, 5.0]), MOST)
    assert beyond.improvement(np.array([[4.0, 4.0]]), np.array([[1.0]]))[0] == 0
