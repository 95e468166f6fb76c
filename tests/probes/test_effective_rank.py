"""Effective rank: of spectra that are known, and by singular values."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from proxies.designs import tiny
from proxies.test_pca_count import features_with_variances

from gas.probes.base import Block
from gas.probes.effective_rank import effective_rank, rank
from gas.probes.subject import fresh
from gas.probes.watching import watch


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize(
    ("variances", "expected"),
    [
        ([1, 1, 1, 1], 4.0),
        ([5, 5, 0, 0], 2.0),
        ([3, 0, 0, 0], 1.0),
        ([2, 1, 1, 0], 2 ** (0.5 + 0.25 * 2 * 2)),  # entropy of 1/2, 1/4, 1/4: 1.5 bits
    ],
)
def test_of_a_known_spectrum(variances: list[float], expected: float, rotated: bool) -> None:
    assert rank(features_with_variances(variances, rotated)) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(2, 30), width=st.integers(1, 30), seed=st.integers(0, 99))
def test_by_singular_values_whichever_side_is_longer(samples: int, width: int, seed: int) -> None:
    features = torch.randn(samples, width, generator=torch.Generator().manual_seed(seed)).double() + 3.0
    values = torch.linalg.svdvals(features - features.mean(dim=0)).square()
    share = [v for v in (values / values.sum()).tolist() if v > 1e-20]
    expected = math.exp(-sum(v * math.log(v) for v in share))
    assert rank(features) == pytest.approx(expected, rel=1e-6)
    assert 1 - 1e-9 <= rank(features) <= min(width, samples - 1) + 1e-6


def test_what_does_not_vary_has_rank_0() -> None:
    assert rank(torch.ones(7, 3)) == 0.0


def test_with_fewer_tokens_than_channels_the_tokens_bound_it() -> None:
    """Five tokens span four directions about their mean: corners of a simplex span them evenly."""
    flow = SimpleNamespace(layout="tokens")
    corners = torch.eye(5, 9)[None]  # (1, 5, 9)
    block = Block(None, SimpleNamespace(before=flow, after=flow), corners, corners)
    assert effective_rank([block]) == [pytest.approx(1.0)]
    lone = corners[:, :1]
    assert effective_rank([Block(None, SimpleNamespace(before=flow, after=flow), lone, lone)]) == [None]


def test_it_is_a_share_of_what_width_and_tokens_allow() -> None:
    design = tiny(16)
    blocks = watch(fresh(design), design)
    for block, reading in zip(blocks, effective_rank(blocks), strict=True):
        features = block.after.flatten(0, 1)
        assert features.shape[1] == block.built.after.dim
        assert reading == pytest.approx(rank(features) / min(features.shape[1], features.shape[0] - 1))
