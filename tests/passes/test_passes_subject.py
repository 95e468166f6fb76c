"""What is looked at: weights that mute no branch, calibrated batch norms, images as small as the design allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from proxies.designs import hierarchical, tiny
from torch import nn

from gas.architecture import Architecture
from gas.errors import DesignError
from gas.model import build
from gas.passes.subject import LEAST_IMAGES, LEAST_TOKENS, calibrate, fresh, neutralise, side
from gas.patterns.units import LayerScale
from gas.plan import plan
from gas.space import load


def layers_of(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)]


@pytest.fixture(scope="module")
def convolutional() -> Architecture:
    return load("zoo/efficientvit_m0")


def test_every_weight_has_a_variance_of_one_over_its_inputs() -> None:
    network = build(load("zoo/edgenext_small"), classes=16, seed=0)
    neutralise(network, torch.Generator().manual_seed(0))
    for layer in layers_of(network):
        inputs = layer.in_features if isinstance(layer, nn.Linear) else layer.weight[0].numel()
        spread = layer.weight.std(correction=0).item() * inputs**0.5
        assert spread == pytest.approx(1.0, abs=4.5 / layer.weight.numel() ** 0.5)
        assert layer.bias is None or not layer.bias.any()
    scales = [module.gamma for module in network.modules() if isinstance(module, LayerScale)]
    assert scales
    assert all((gamma == 1).all() for gamma in scales)


def test_batch_norms_make_the_images_features_standard(convolutional: Architecture) -> None:
    subject = fresh(convolutional)
    norms = [module for module in subject.network.modules() if isinstance(module, nn.BatchNorm2d)]
    seen: dict[nn.Module, torch.Tensor] = {}
    for norm in norms:
        norm.register_forward_hook(lambda module, _, output: seen.update({module: output}))
    with torch.no_grad():
        subject.network(subject.images)
    assert len(seen) == len(norms) > 50
    for norm, output in seen.items():
        assert not norm.training
        assert norm.momentum == 0.1
        rows = output.movedim(1, -1).flatten(0, -2)
        assert rows.mean(0).abs().max() < 1e-3
        variances = rows.var(0, correction=0)
        assert variances.max() < 1 + 1e-3
        assert variances.median() == pytest.approx(1.0, abs=1e-3)  # eps takes off what it does


def test_a_network_without_batch_norms_is_left_alone() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    before = network[0].weight.clone()
    calibrate(network, torch.zeros(1, 5))  # which it could not read
    assert torch.equal(network[0].weight, before)
    assert not network.training


@pytest.mark.parametrize(
    ("name", "wished", "expected"),
    [("turbovit", 64, 64), ("turbovit", 60, 64), ("efficientvit_m0", 64, 80), ("swin_tiny", 64, 224)],
)
def test_images_are_as_small_as_the_design_allows(name: str, wished: int, expected: int) -> None:
    assert side(load(f"zoo/{name}"), wished) == expected


@pytest.mark.parametrize("name", ["efficientvit_m0", "fastervit_0"])
def test_no_smaller_size_would_do(name: str) -> None:
    design = load(f"zoo/{name}")
    found = side(design, 64)
    assert all(end.tokens >= LEAST_TOKENS for end in plan(replace(design, resolution=found)).ends)
    for smaller in range(64, found, 8):
        try:
            ends = plan(replace(design, resolution=smaller)).ends
        except DesignError:
            continue
        assert any(end.tokens < LEAST_TOKENS for end in ends)


def test_a_design_smaller_than_wished_is_seen_at_its_own_size() -> None:
    subject = fresh(tiny(resolution=32), resolution=64, batch=12)
    assert subject.images.shape == (12, 3, 32, 32)
    assert subject.pixels == 1.0


def test_larger_images_are_fewer_and_the_pixels_are_told(convolutional: Architecture) -> None:
    subject = fresh(convolutional, resolution=64, batch=16)
    assert len(subject.images) == round(16 * (64 / 80) ** 2) == 10
    assert subject.pixels == (224 / 80) ** 2
    assert subject.batch == 16
    assert len(fresh(convolutional, resolution=64, batch=3).images) == 3
    assert len(fresh(convolutional, resolution=8, batch=16).images) >= LEAST_IMAGES


def test_costs_are_those_of_the_design_at_its_own_size() -> None:
    design = hierarchical(16, (16, 32), (1, 1), resolution=64, mask_unit=2, heads=2)
    subject = fresh(design, resolution=32)
    cost = plan(design).cost
    assert (subject.macs, subject.params) == (cost.macs, cost.params)
    assert subject.images.shape[-1] == 32


def test_blocks_are_those_of_the_plan() -> None:
    design = hierarchical(16, (16, 32), (2, 1), resolution=32, mask_unit=2, heads=2)
    sites = fresh(design).blocks
    assert [(site.before, site.after) for site in sites] == [
        (placed.before.layout, placed.after.layout) for placed in plan(design).blocks
    ]


def test_the_seed_decides_and_torch_s_own_state_is_left() -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again, other = (fresh(tiny(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    weights = [layers_of(subject.network)[0].weight for subject in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
