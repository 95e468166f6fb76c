"""Likeness of features: against the definition, and where the answer is known."""

from __future__ import annotations

import itertools

import pytest
import torch
from proxies.designs import hierarchical
from torch import Tensor

from gas.probes import probe
from gas.probes.similarity import _hsic, linear_cka


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equal_turned_and_scaled_features_are_alike() -> None:
    features = randn(40, 6, seed=0)
    turn, _ = torch.linalg.qr(randn(6, 6, seed=1))
    for other in (features, features @ turn, -3.0 * features, features + 7.0):
        assert linear_cka(features, other) == pytest.approx(1.0)


def test_independent_features_are_not_alike_even_where_channels_outnumber_tokens() -> None:
    """Where the plain estimate says .9."""
    first, second = randn(64, 512, seed=0), randn(64, 512, seed=1)
    grams = [c @ c.T for f in (first, second) for c in [f - f.mean(0)]]
    plain = (grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm())
    assert plain > 0.85
    assert linear_cka(first, second) < 0.1


def test_it_is_by_definition_a_mean_over_quadruples() -> None:
    """HSIC without bias: the mean over distinct i, j, q, r of k_ij (l_ij + l_qr - 2 l_iq)."""
    first, second = randn(7, 3, seed=2), randn(7, 4, seed=3)
    k, m = first @ first.T, second @ second.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.permutations(range(7), 4)]
    assert _hsic(k, m) == pytest.approx((sum(terms) / len(terms)).item())


def test_it_tells_how_much_of_the_output_is_the_input() -> None:
    """White features of covariance 1 and of 1 + s^2, with one of 1 between them: 1 / (1 + s^2) in the limit."""
    base, noise = randn(2000, 4, seed=4), randn(2000, 4, seed=5)
    for share in (0.0, 0.3, 1.0, 3.0):
        assert linear_cka(base, base + share * noise) == pytest.approx(1 / (1 + share**2), abs=0.04)


@pytest.mark.parametrize("features", [torch.ones(10, 3), torch.zeros(10, 3), torch.randn(3, 5)])
def test_features_that_do_not_vary_or_are_too_few_have_none(features: Tensor) -> None:
    assert linear_cka(features, torch.randn(len(features), 3)) is None
    assert linear_cka(torch.randn(len(features), 3), features) is None


def test_a_block_that_pools_has_none_and_the_others_have_one() -> None:
    readings = probe(hierarchical(8, (8, 16), (2, 2), resolution=32, mask_unit=2, heads=2))
    assert ["similarity" in reading for reading in readings] == [True, True, False, True]
