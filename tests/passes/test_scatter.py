"""Variances gathered in portions: against numpy and scikit-learn, and where they are all the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gas.passes.scatter import Scatter, components, entropy


def gathered(rows: torch.Tensor, portions: int) -> torch.Tensor:
    scatter = Scatter(len(rows))
    for portion in rows.tensor_split(portions):
        scatter.add(portion)
    return scatter.variances()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 24), st.integers(1, 4), st.floats(-100, 100), st.integers(0, 10**6))
def test_variances_are_the_eigenvalues_of_numpy_s_covariance(
    count: int, channels: int, portions: int, shift: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, channels, generator=generator) * torch.linspace(0.1, 3, channels) + shift
    found = gathered(rows, min(portions, count)).numpy()
    expected = np.linalg.eigvalsh(np.atleast_2d(np.cov(rows.double().numpy(), rowvar=False, bias=True)))[::-1]
    assert len(found) == min(count, channels)
    assert np.allclose(found, expected[: len(found)], rtol=1e-4, atol=1e-5 * max(expected[0], 1e-3))
    assert (np.diff(found) <= 0).all()


def test_a_mean_far_from_0_costs_no_digits() -> None:
    rows = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    near, far = gathered(rows, 3), gathered(rows + 1024.0, 3)
    assert torch.allclose(near, far, rtol=1e-3)


@pytest.mark.parametrize("channels", [3, 30])
def test_rows_that_are_missing_or_not_finite_are_refused(channels: int) -> None:
    scatter = Scatter(10)
    with pytest.raises(ValueError, match="got 0 rows; expected 10"):
        scatter.variances()
    scatter.add(torch.ones(4, channels))
    with pytest.raises(ValueError, match="got 4 rows; expected 10"):
        scatter.variances()
    scatter.add(torch.full((6, channels), math.inf))
    with pytest.raises(ValueError, match="not finite"):
        scatter.variances()


def test_entropy_of_equal_shares_is_the_logarithm_of_their_number() -> None:
    assert entropy(torch.full((7,), 3.0, dtype=torch.float64)) == pytest.approx(math.log(7))
    assert entropy(torch.tensor([5.0, 0.0, 0.0], dtype=torch.float64)) == 0.0
    assert entropy(torch.zeros(3, dtype=torch.float64)) == 0.0
    three = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert entropy(three * 8) == pytest.approx(1.5 * math.log(2))


def test_components_that_hold_a_share() -> None:
    variances = torch.tensor([50.0, 30.0, 15.0, 5.0], dtype=torch.float64)
    assert [components(variances, share) for share in (0.4, 0.5, 0.51, 0.8, 0.95, 0.96, 1.0)] == [1, 1, 2, 2, 3, 4, 4]
    assert components(torch.zeros(4), 0.99) == 0
