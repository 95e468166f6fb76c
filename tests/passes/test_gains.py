"""Gains: linear blocks give their own weights back, and signs are as random as they have to be."""

from __future__ import annotations

import pytest
import torch
from passes.networks import Plus, subject_of
from torch import nn

from gas.passes import Passes
from gas.passes.gains import orthogonal


@pytest.mark.parametrize(("batch", "side"), [(16, 4), (3, 2)])  # more rows than channels, and fewer
def test_a_linear_block_gives_its_weights(batch: int, side: int) -> None:
    first, second = nn.Linear(3, 40), nn.Linear(40, 40)
    gains = Passes(subject_of([first, Plus(second)], 40, layout="tokens", batch=batch, side=side)).gains
    assert torch.allclose(gains[0], first.weight.T, atol=1e-5)
    assert torch.allclose(gains[1], torch.eye(40) + second.weight.T, atol=1e-5)


def test_a_convolution_gives_the_middle_of_its_kernel_on_average() -> None:
    block = nn.Conv2d(3, 5, 3, padding=1)
    found = [Passes(subject_of([block], 5, side=8, batch=64, seed=seed)).gains[0] for seed in range(2)]
    with torch.no_grad():  # subject_of draws weights anew, by the seed
        assert torch.allclose(found[1], block.weight[:, :, 1, 1].T, atol=0.1)
    assert not torch.allclose(found[0], found[1], atol=0.1)


def test_a_block_that_changes_the_grid_has_none() -> None:
    gains = Passes(subject_of([nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 4, 1)], 4)).gains
    assert gains[0] is None
    assert gains[1].shape == (4, 4)


def test_a_rectifier_lets_half_of_the_gradient_through() -> None:
    gains = Passes(subject_of([nn.ReLU()], 3, side=32, batch=16)).gains
    assert torch.allclose(gains[0], 0.5 * torch.eye(3), atol=0.05)


def test_nothing_is_left_behind() -> None:
    subject = subject_of([nn.Conv2d(3, 4, 1)], 4)
    before = [parameter.clone() for parameter in subject.network.parameters()]
    _ = Passes(subject).gains
    assert all(torch.equal(a, b) for a, b in zip(before, subject.network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in subject.network.parameters())
    assert not subject.blocks[0].module._forward_hooks
    assert not subject.blocks[0].module._forward_pre_hooks


@pytest.mark.parametrize(("count", "channels"), [(64, 5), (12, 12), (1, 1)])
def test_columns_are_orthogonal(count: int, channels: int) -> None:
    drawn = orthogonal(count, channels, torch.Generator().manual_seed(3))
    assert drawn.shape == (count, channels)
    assert torch.allclose(drawn.T @ drawn / count, torch.eye(channels), atol=1e-5)


def test_over_many_draws_the_mean_is_0_and_rows_are_uncorrelated() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([orthogonal(6, 4, generator) for _ in range(4000)])  # (draws, 6, 4)
    assert drawn.mean(0).abs().max() < 0.08
    moments = torch.einsum("dsi,dtj->sitj", drawn, drawn) / len(drawn)
    expected = torch.einsum("st,ij->sitj", torch.eye(6), torch.eye(4))
    assert (moments - expected).abs().max() < 0.1
