"""What is probed: the size, the weights it begins with, and the images."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from proxies.designs import hierarchical, tiny
from torch import nn

from gas.errors import DesignError
from gas.patterns.units import LayerScale
from gas.plan import plan
from gas.probes.subject import fresh, image_count, side, stimuli
from gas.space import load


@pytest.mark.parametrize(
    ("name", "expected"),
    [("turbovit", 64), ("mobilenetv3_large", 56), ("swin_tiny", 224), ("fastervit_0", 104), ("mobilevitv2_050", 64)],
)
def test_the_side_is_the_least_that_the_design_accepts(name: str, expected: int) -> None:
    design = load(name)
    assert side(design) == expected
    for smaller in range(-(-design.resolution // 32) * 8, expected, 8):
        with pytest.raises(DesignError):
            plan(replace(design, resolution=smaller))


def test_a_small_design_is_probed_at_its_own_size() -> None:
    assert side(tiny(16, 32)) == 32
    # At 32 pixels its last stage would have a single token.
    deep = hierarchical(8, (8, 8, 8, 8), (1, 1, 1, 1), resolution=64, mask_unit=8, heads=2)
    assert plan(replace(deep, resolution=32)).ends[-1].tokens == 1
    assert side(deep) == 64


def test_as_many_images_as_make_about_as_many_pixels() -> None:
    assert [image_count(side) for side in (32, 64, 112, 224, 512)] == [64, 16, 5, 2, 2]


def test_every_layer_begins_as_loud_and_layer_scales_are_1() -> None:
    subject = fresh(load("convnext_tiny"))
    scales = [m for m in subject.network.modules() if isinstance(m, LayerScale)]
    assert len(scales) == 18
    assert all((m.gamma == 1).all() for m in scales)
    for module in subject.network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.numel() > 10_000:
            inputs = module.weight[0].numel()
            assert module.weight.std().item() * math.sqrt(inputs) == pytest.approx(1.0, abs=0.05)


def test_batch_norms_take_the_batch_s_statistics_and_nothing_is_dropped() -> None:
    modules = list(fresh(load("efficientvit_m0")).network.modules())
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert norms
    assert all(m.training for m in norms)
    assert not any(m.training for m in modules if m not in norms)


def test_the_images_have_edges_at_all_scales_and_white_noise_has_not() -> None:
    images = stimuli(16, 3, 64, 0)
    assert images.shape == (16, 3, 64, 64)
    assert images.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert images.std(dim=(0, 2, 3)) == pytest.approx(torch.ones(3), abs=1e-5)
    # Power falls with frequency as in photographs, roughly with its square.
    power = torch.fft.rfft2(images).abs().square().mean(dim=(0, 1))
    low, high = power[1:4, 1:4].mean(), power[16:24, 16:24].mean()
    octaves = math.log2(20 / 2.5)
    slope = math.log2((low / high).item()) / octaves
    assert 1.3 < slope < 3.0
    # Neighbours are mostly of one disc.
    assert (images[..., 1:] == images[..., :-1]).float().mean() > 0.5


def test_images_depend_on_the_seed_alone() -> None:
    first = stimuli(4, 3, 32, 7).clone()
    stimuli.cache_clear()
    assert torch.equal(stimuli(4, 3, 32, 7), first)
    assert not torch.equal(stimuli(4, 3, 32, 8), first)
    assert stimuli(2, 1, 32, 0).shape == (2, 1, 32, 32)
