"""The recipe: the rate over the steps and over designs, what decays, what is strengthened."""

from __future__ import annotations

import pytest
import torch
from proxies.designs import hierarchical, tiny
from torch import nn

from gas.model import build
from gas.training import Recipe, rate_factor, strengthen, suited_rate
from gas.training.recipe import parameter_groups


def test_the_rate_rises_and_falls_to_nothing() -> None:
    factors = [rate_factor(step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert max(factors) == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01
    assert rate_factor(0, 1) == 1.0


def test_larger_designs_get_smaller_rates() -> None:
    small, wide, deep = (
        hierarchical(16, (16, dim), (1, depth), head_dim=16) for dim, depth in ((32, 1), (64, 1), (32, 4))
    )
    assert suited_rate(small, 1.0) > suited_rate(wide, 1.0) > suited_rate(deep, 1.0)
    assert suited_rate(hierarchical(64, (64,), (12,), head_dim=16), 7e-4) == pytest.approx(7e-4)


def test_strengthening_touches_linear_layers_alone() -> None:
    plain, strong = (build(tiny(), classes=3, seed=0) for _ in range(2))
    strengthen(strong, 2.0)
    for (name, before), after in zip(plain.named_parameters(), strong.parameters(), strict=True):
        module = strong.get_submodule(name.rpartition(".")[0])
        factor = 2.0 if isinstance(module, nn.Linear) else 1.0
        assert torch.equal(before * factor, after), name


def test_only_matrices_decay() -> None:
    network = build(tiny(), classes=3, seed=0)
    decaying, others = parameter_groups(network, 0.05)
    assert decaying["weight_decay"] > others["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decaying["params"])
    assert any(p is network.stem.position for p in others["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(list(network.parameters()))


def test_a_training_that_stops_early_has_the_rates_of_the_whole() -> None:
    whole, part = Recipe(100, 8, 2e-3), Recipe(30, 8, 2e-3, horizon=100)
    assert [part.rate_at(step) for step in range(30)] == [whole.rate_at(step) for step in range(30)]
    assert part.warm_steps == 10
    assert Recipe(30, 8, 1.0).schedule == 30


def test_warm_up_is_a_share_of_the_schedule() -> None:
    assert [rate_factor(step, 10, 0.5) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rate_factor(0, 10, 0.0) == 1.0
