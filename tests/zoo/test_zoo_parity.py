"""Every design of the zoo that has a public implementation equals it: params, macs, and outputs with its weights."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from zoo.pairing import gap, pair_weights, quick_and_slow, randomise, references

from gas.costs import count_module
from gas.model import build, fuse
from gas.plan import plan
from gas.space import load

TOLERANCE = 1e-4


@pytest.mark.parametrize("name", quick_and_slow(references()))
def test_equal_to_the_public_implementation(timm: ModuleType, name: str) -> None:
    reference, design = references()[name], load(f"zoo/{name}")
    theirs, ours = reference.make().eval(), build(design).eval()
    randomise(theirs, seed=1)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in ours.parameters()) == plan(design).cost.params
    images = torch.randn(1, 3, design.resolution, design.resolution, generator=torch.Generator().manual_seed(2))
    (reference.copy or pair_weights)(theirs, ours, images)
    with torch.inference_mode():
        wanted, got = theirs(images), ours(images)
        assert wanted.std() > 1e-3, "the outputs must be of a size at which the tolerance means something"
        assert got.std() > 1e-3 * wanted.std()
        assert gap(got, wanted) <= TOLERANCE
        folded = fuse(ours)
        assert gap(folded(images), wanted) <= TOLERANCE
        if reference.fold is not None:
            assert gap(folded(images), reference.fold(theirs)(images)) <= TOLERANCE


@pytest.mark.parametrize("name", quick_and_slow(references()))
def test_the_macs_are_those_traced_on_the_public_implementation(timm: ModuleType, name: str) -> None:
    reference, design = references()[name], load(f"zoo/{name}")
    if not reference.macs:
        assert reference.why
        return
    theirs = reference.make().to("meta")
    counted = count_module(theirs, (1, 3, design.resolution, design.resolution)).cost
    assert plan(design).cost == counted


def test_wrong_weights_are_noticed(timm: ModuleType) -> None:
    name = "hiera_tiny"
    reference, design = references()[name], load(f"zoo/{name}")
    theirs, ours = reference.make().eval(), build(design).eval()
    randomise(theirs, seed=1)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    pair_weights(theirs, ours, images)
    with torch.inference_mode():
        proj = next(m for n, m in ours.named_modules() if n.endswith("token_mixer.proj"))
        proj.weight.copy_(proj.weight.T.clone())
        assert gap(ours(images), theirs(images)) > 1e-3
