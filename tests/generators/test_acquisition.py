"""What designs are expected to add: closed forms, exact hypervolumes, and what counts for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from gas.generators._acquisition import BestSoFar, KnownCosts, Weighted, most_costs
from gas.generators._improvement import quantiles
from gas.pareto import hypervolume


def scenarios(mean: NDArray, spread: NDArray | float, costs: NDArray | None = None) -> NDArray:
    """(Q, N, M) losses: an uncertain one first, then costs."""
    values = quantiles(mean, np.broadcast_to(spread, mean.shape))
    columns = (
        [values] if costs is None else [values, *np.broadcast_to(costs.T[:, None], (costs.shape[1], *values.shape))]
    )
    return np.stack(columns, axis=-1)


def test_one_objective_is_the_closed_form() -> None:
    best, mean = 2.0, np.linspace(0.0, 4.0, 40)
    acquisition = BestSoFar()
    for value in (3.0, best, 5.0):
        acquisition.add(np.array([value]))
    ours = acquisition.improvement(scenarios(mean, 1.0))
    z = best - mean
    expected = z * norm.cdf(z) + norm.pdf(z)
    np.testing.assert_allclose(ours, expected, atol=0.07)
    assert (np.diff(ours) <= 1e-12).all()
    certain = acquisition.improvement(scenarios(mean, 0.0))
    np.testing.assert_allclose(certain, np.maximum(best - mean, 0.0), atol=1e-12)


def test_before_anything_is_known_the_least_loss_is_worth_most() -> None:
    mean = np.array([3.0, 1.0, 2.0])
    worth = BestSoFar().improvement(scenarios(mean, 0.1))
    assert np.argsort(-worth).tolist() == [1, 2, 0]
    np.testing.assert_allclose(np.diff(worth), [2.0, -1.0])
    assert (worth > 0).all()


@pytest.mark.parametrize("known", [0, 1])
def test_what_misses_a_requirement_adds_nothing(known: int) -> None:
    """Infinite losses: of designs asked about, in one scenario or in all, and of all that is known."""
    losses = scenarios(np.array([1.0, 1.0, 1.0]), 0.1)
    losses[:3, 1] = losses[:, 2] = np.inf
    for acquisition in (BestSoFar(), Weighted(np.zeros(1), np.ones(1), np.random.default_rng(0))):
        for _ in range(known):
            acquisition.add(np.array([np.inf]))
        worth = acquisition.improvement(losses)
        assert worth[0] > worth[1] > worth[2] == 0
        assert acquisition.improvement(np.full((6, 4, 1), np.inf)).tolist() == [0.0] * 4
    table = KnownCosts(0, np.array([2.0, 1.0]), np.linspace(0, 1, 50)[:, None], 4.0)
    for _ in range(known):
        table.add(np.array([np.inf, 0.5]))
    costed = np.concatenate([losses, np.full_like(losses, 0.5)], axis=2)
    worth = table.improvement(costed)
    assert worth[0] > worth[1] > worth[2] == 0


@pytest.mark.parametrize("uncertain", [0, 1, 2])
def test_known_costs_add_hypervolume_wherever_the_uncertain_one_stands(uncertain: int) -> None:
    rng = np.random.default_rng(uncertain)
    reference = np.insert(np.array([10.0, 500.0]), uncertain, -60.0)  # a score from 60 up, turned round
    draw = lambda n: np.insert(rng.random((n, 2)) * [10, 500], uncertain, -60 - 20 * rng.random(n), axis=1)  # noqa: E731
    known, asked = draw(10), draw(100)
    others = np.delete(draw(3000), uncertain, axis=1)
    acquisition = KnownCosts(uncertain, reference, others, 30.0)
    for row in known:
        acquisition.add(row)
    before = hypervolume(known, reference)
    expected = [hypervolume(np.vstack([known, row]), reference) - before for row in asked]
    low = others.min(axis=0)
    unit = np.prod(np.delete(reference, uncertain) - low)
    ours = acquisition.improvement(asked[None]) * unit
    assert np.corrcoef(ours, expected)[0, 1] > 0.99
    np.testing.assert_allclose(ours, expected, atol=0.03 * 20 * 5000)


def weighted(seed: int = 0) -> Weighted:
    return Weighted(np.zeros(2), np.ones(2), np.random.default_rng(seed))


def test_weighted_prefers_what_dominates_and_gives_nothing_for_the_dominated() -> None:
    for seed in range(20):
        acquisition = weighted(seed)
        acquisition.add(np.array([0.5, 0.5]))
        worth = acquisition.improvement(np.array([[[0.2, 0.2], [0.4, 0.4], [0.5, 0.5], [0.6, 0.7]]]))
        assert worth[0] > worth[1] > worth[2] == worth[3] == 0


def test_weighted_is_the_improvement_of_the_norm_it_names() -> None:
    """Parego by hand: the greatest weighed loss, and a twentieth of their sum."""
    acquisition = Weighted(np.array([1.0, 10.0]), np.array([3.0, 20.0]), np.random.default_rng(7))
    rng = np.random.default_rng(7)
    rng.dirichlet(np.ones(2))
    acquisition.add(np.array([2.0, 15.0]))
    weights = rng.dirichlet(np.ones(2))
    asked = np.array([[[1.5, 12.0]], [[2.5, 16.0]]])  # two scenarios of a design
    scalar = lambda row: max(weights * row) + 0.05 * sum(weights * row)  # noqa: E731
    norms = [scalar((row - [1, 10]) / [2, 10]) for row in (np.array([2.0, 15.0]), *asked[:, 0])]
    expected = np.mean([max(norms[0] - each, 0.0) for each in norms[1:]])
    np.testing.assert_allclose(acquisition.improvement(asked), [expected])
    assert expected > 0


def test_weighted_spreads_a_batch_over_the_front() -> None:
    steps = np.linspace(0, 1, 41)
    line = np.column_stack([steps, (1 - np.sqrt(steps)) ** 2])
    acquisition, picks = weighted(), []
    acquisition.add(np.array([0.9, 0.9]))
    for _ in range(12):
        pick = int(acquisition.improvement(line[None]).argmax())
        picks.append(pick)
        acquisition.add(np.array([0.9, 0.9]))  # so that only the weights change
    assert len(set(picks)) >= 6
    assert min(picks) < 10
    assert max(picks) > 15


def test_nothing_known_at_all_and_no_spread() -> None:
    assert (weighted().improvement(np.array([[[0.2, 0.2], [0.9, 0.9]]])) >= 0).all()
    level = Weighted(np.ones(2), np.ones(2), np.random.default_rng(0))
    assert np.isfinite(level.improvement(np.ones((1, 3, 2)))).all()
    assert most_costs() == 4
