"""Our Hiera against timm's: the same weights give the same output, and count the same."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from hiera_parity import HIERA, hiera, randomise, renamed, turbovit

from gas.costs import count_module
from gas.model import build
from gas.plan import plan

# Millions of params and billions of macs as published (arXiv 2306.00989, tables 2 and 8: whole numbers).
PUBLISHED = {"hiera_tiny_224": (28, 5), "hiera_small_224": (35, 6), "hiera_base_224": (52, 9)}


BASE = pytest.param("hiera_base_224", marks=pytest.mark.slow)


@pytest.mark.parametrize("variant", [BASE if name == "hiera_base_224" else name for name in HIERA])
def test_same_output_as_the_public_implementation(timm: ModuleType, variant: str) -> None:
    theirs = timm.create_model(variant, pretrained=False).eval()
    randomise(theirs, seed=1)
    ours = build(hiera(variant)).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), ours))  # strict: no weight is left over on either side
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected, got = theirs(images), ours(images)
    assert expected.std() > 0.1, "the outputs must be of a size at which the tolerance means something"
    assert (got - expected).abs().max() <= 1e-5


def test_a_transposed_weight_is_noticed(timm: ModuleType) -> None:
    theirs = timm.create_model("hiera_tiny_224", pretrained=False).eval()
    randomise(theirs, seed=1)
    ours = build(hiera("hiera_tiny_224")).eval()
    weights = renamed(theirs.state_dict(), ours)
    name = next(name for name in weights if name.endswith("token_mixer.proj.weight"))
    ours.load_state_dict({**weights, name: weights[name].T.contiguous()})
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert (ours(images) - theirs(images)).abs().max() > 1e-3


@pytest.mark.parametrize("variant", HIERA)
def test_the_formulas_give_what_is_counted_on_the_public_implementation(timm: ModuleType, variant: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(variant, pretrained=False)
    counted = count_module(theirs, (1, 3, 224, 224)).cost
    assert plan(hiera(variant)).cost == counted
    assert (round(counted.params / 1e6), round(counted.macs / 1e9)) == PUBLISHED[variant]


def test_turbovit_block_table() -> None:
    placed = plan(turbovit()).placed
    global_blocks = [789_760] * 7
    assert [part.cost.params for part in placed] == [
        14_208 + 301_056,
        62_400,
        181_888,
        198_272,
        724_224,
        *global_blocks,
        2_890_240,
        3_152_384,
        513_000 + 1_024,
    ]
    scopes = [part.settled.mixer.pattern for part in placed[1:-1]]
    assert scopes == ["mask_unit_attention"] * 4 + ["global_attention"] * 9  # block 3 lags behind its stage
    assert [part.after.grid[0] for part in placed[1:-1]] == [56, 28, 28, *[14] * 8, 7, 7]
    total = plan(turbovit()).cost
    assert (total.params, total.macs) == (13_567_016, 2_473_135_104)
