"""Norm statistics: what torch's own running mean comes to, and nothing else touched."""

from __future__ import annotations

import copy

import torch
from banks.small import network_of, smallest
from torch import nn

from gas.banks.calibration import recalibrate


def test_statistics_are_the_means_over_the_batches() -> None:
    norm = nn.BatchNorm2d(3)
    norm.running_mean += 7
    batches = [torch.randn(8, 3, 4, 4) * scale + scale for scale in (1, 2, 3)]
    recalibrate(norm, batches)
    assert torch.allclose(norm.running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0), atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


def test_a_network_without_batch_norm_runs_nothing() -> None:
    def never() -> object:
        raise AssertionError("a batch was asked for")
        yield

    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)).train()
    recalibrate(network, never())
    assert not network.training


def test_weights_stay_and_dropout_leaves_nothing_out() -> None:
    design = smallest("zoo/mobilenetv3_large")
    network = network_of(design)
    before = copy.deepcopy(dict(network.named_parameters()))
    images = torch.randn(8, 3, design.resolution, design.resolution)
    recalibrate(network, [images])
    first = network(images)
    recalibrate(network, [images])
    assert torch.equal(network(images), first)
    assert all(torch.equal(before[name], p) for name, p in network.named_parameters())
