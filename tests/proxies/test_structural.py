"""Counts of designs: against the built modules, the architecture's own numbers, and published ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from proxies.designs import hierarchical, tiny
from torch import nn

from gas.architecture import Architecture
from gas.costs import traced_count
from gas.model import network_part
from gas.proxies import create
from gas.proxies.block_widths import widths
from gas.space import load

NAMES = ("log_params", "log_macs", "log_activations", "depth", "block_widths", "output_channels")


def score(name: str, design: Architecture) -> float:
    metrics = create(name).score(design)
    assert list(metrics) == [name]
    return metrics[name]


def built(design: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return network_part(design).build()


@pytest.fixture(params=["zoo/hiera_tiny", "zoo/mobilevit_xxs", "zoo/efficientvit_m0", "zoo/fastvit_t8"])
def design(request: pytest.FixtureRequest) -> Architecture:
    return load(request.param)


def test_size_is_that_of_the_built_network(design: Architecture) -> None:
    numbers = sum(parameter.numel() for parameter in built(design).parameters())
    assert math.exp(score("log_params", design)) == pytest.approx(numbers, rel=1e-12)


def test_channels_are_those_of_the_built_network_s_weights(design: Architecture) -> None:
    kinds = nn.Linear | nn.Conv1d | nn.Conv2d
    # A linear layer and a convolution alike have a row of weights for each channel that goes out.
    rows = [len(module.weight) for module in built(design).modules() if isinstance(module, kinds)]
    assert score("output_channels", design) == sum(rows)


def test_depth_and_widths_are_those_of_the_stages(design: Architecture) -> None:
    assert score("depth", design) == sum(stage.depth for stage in design.stages)
    assert score("block_widths", design) == sum(stage.depth * stage.dim for stage in design.stages)


def test_work_is_what_is_published_of_hiera() -> None:
    design = load("zoo/hiera_tiny")
    assert math.exp(score("log_macs", design)) == pytest.approx(4.9e9, rel=0.02)
    assert math.exp(score("log_params", design)) == pytest.approx(27.9e6, rel=0.005)
    assert score("depth", design) == 1 + 2 + 7 + 2
    assert widths(design) == [96] + 2 * [192] + 7 * [384] + 2 * [768]


def test_a_design_by_hand() -> None:
    # One block of width 8 at 4 x 4 tokens, mask units of 2 x 2, one head, then ten classes.
    design = hierarchical(8, (8,), (1,), resolution=16, mask_unit=2, heads=1)
    embed, tokens = 3 * 7 * 7 * 8, 16
    block = {"qkv": (8, 24), "proj": (8, 8), "fc1": (8, 32), "fc2": (32, 8)}
    layers = sum(a * b for a, b in block.values())
    biases = sum(b for _, b in block.values())
    classes = 1000
    positions = tokens * 8
    params = embed + 8 + positions + layers + biases + 3 * 16 + 8 * classes + classes
    assert math.exp(score("log_params", design)) == pytest.approx(params, rel=1e-12)
    assert score("output_channels", design) == 8 + sum(b for _, b in block.values()) + classes
    attention = 4 * (4 * 4 * 8) * 2  # units, pairs of tokens and channels, twice
    macs = tokens * (embed + layers) + attention + 8 * classes
    assert math.exp(score("log_macs", design)) == pytest.approx(macs, rel=1e-12)
    seen = tokens * (8 + 24 + 8 + 32 + 8) + 4 * (4 * 4 + 4 * 8) + classes
    assert math.exp(score("log_activations", design)) == pytest.approx(seen, rel=1e-12)


def test_entries_are_no_blocks() -> None:
    design = load("zoo/convnext_tiny")
    assert score("depth", design) == 3 + 3 + 9 + 3
    assert score("block_widths", design) == 3 * 96 + 3 * 192 + 9 * 384 + 3 * 768


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_and_size_counts(name: str) -> None:
    proxy = create(name)
    assert proxy.score(tiny(), seed=1) == proxy.score(tiny(), seed=2)
    larger = hierarchical(32, (32, 64), (2, 2), resolution=32, mask_unit=2, heads=2)
    assert proxy.score(larger)[name] > proxy.score(tiny())[name]
    assert np.isfinite(proxy.score(tiny())[name])


def test_torch_counts_the_same_work() -> None:
    traced = traced_count(tiny())
    assert math.exp(score("log_macs", tiny())) == pytest.approx(traced.cost.macs, rel=1e-12)
    assert math.exp(score("log_params", tiny())) == pytest.approx(traced.cost.params, rel=1e-12)
