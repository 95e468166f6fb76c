"""SuperViT and FastV on DeiT-S, counted by hand; and what they compute where nothing is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gas.architecture import Architecture, Group
from gas.model import build
from gas.patterns import Cost
from gas.plan import plan
from gas.space import load, load_space

# Macs by the number n of tokens, the class token among them. Attention: four layers 384 -> 384 and two products over
# all pairs, 4 n 384^2 + 2 n^2 384. Channel mixer: 384 -> 1536 -> 384, 2 n 384 * 1536.
ATTENTION = {
    197: 146_000_640,  # 116,195,328 + 29,805,312
    139: 96_824_064,  # 81,985,536 + 14,838,528
    99: 65_919_744,  # 58,392,576 + 7,527,168
    98: 65_178_624,  # 57,802,752 + 7,375,872
    69: 44_354_304,  # 40,697,856 + 3,656,448
    50: 31_411_200,  # 29,491,200 + 1,920,000
    26: 15_854_592,  # 15,335,424 + 519,168
}
MIXER = {
    197: 232_390_656,
    139: 163_971_072,
    99: 116_785_152,
    98: 115_605_504,
    69: 81_395_712,
    50: 58_982_400,
    26: 30_670_848,
}
CLASS_ROW = {197: 75_648, 139: 53_376, 99: 38_016, 98: 37_632, 50: 19_200}  # n * 384: one query with all keys, 6 heads
STEM = 57_802_752  # 196 patches of 16 * 16 * 3 values -> 384
HEAD = 384_000  # 384 -> 1000
# Two norms 1,536, queries, keys and values 443,520, projection 147,840, channel mixer 591,360 + 590,208.
BLOCK_PARAMS = 1_774_464
STEM_PARAMS = 371_328  # convolution 295,296, class token 384, positions 197 * 384 = 75,648
HEAD_PARAMS = 385_768  # norm 768, layer 385,000

# Per block: tokens in the attention, tokens in the channel mixer, whether the class token ranks them.
SUPERVIT_07 = [
    *[(197, 197, False)] * 3,
    (197, 139, True),  # ceil(0.7 * 196) = ceil(137.2) = 138
    *[(139, 139, False)] * 2,
    (139, 98, True),  # ceil(0.7 * 138) = ceil(96.6) = 97
    *[(98, 98, False)] * 2,
    (98, 69, True),  # ceil(0.7 * 97) = ceil(67.9) = 68
    *[(69, 69, False)] * 2,
]
SUPERVIT_05 = [
    *[(197, 197, False)] * 3,
    (197, 99, True),
    *[(99, 99, False)] * 2,
    (99, 50, True),
    *[(50, 50, False)] * 2,
    (50, 26, True),  # ceil(0.5 * 49) = 25
    *[(26, 26, False)] * 2,
]
FASTV = [*[(197, 197, False)] * 2, *[(99, 99, False)] * 10]


@pytest.mark.parametrize(
    ("name", "table", "gmacs"),
    [
        ("supervit_deit_small_k10", [(197, 197, False)] * 12, 4.599),
        ("supervit_deit_small_k07", SUPERVIT_07, 2.997),
        ("supervit_deit_small_k05", SUPERVIT_05, 2.283),
        ("deit_small_fastv", FASTV, 2.642),
    ],
)
def test_the_layer_table(name: str, table: list[tuple[int, int, bool]], gmacs: float) -> None:
    design = plan(load(f"zoo/{name}"))
    wanted = [Cost(STEM, STEM_PARAMS)]
    for attending, mixing, ranked in table:
        macs = ATTENTION[attending] + MIXER[mixing] + (CLASS_ROW[attending] if ranked else 0)
        wanted.append(Cost(macs, BLOCK_PARAMS))
    wanted.append(Cost(HEAD, HEAD_PARAMS))
    assert [placed.cost for placed in design.placed] == wanted
    assert design.cost.params == 22_050_664
    assert round(design.cost.macs / 1e9, 3) == gmacs


def keeping_all(design: Architecture) -> Architecture:
    """The design with nothing left out."""
    (stage,) = design.stages
    groups = []
    for group in stage.blocks:
        options = {**group.block.options, "keep": 1.0} if group.block.pattern == "pruning" else group.block.options
        groups.append(Group(type(group.block).of(group.block.pattern, **options), group.depth))
    return replace(design, stages=(replace(stage, blocks=tuple(groups)),))


@pytest.mark.parametrize("name", ["supervit_deit_small_k07", "deit_small_fastv"])
def test_with_all_tokens_it_computes_what_deit_does_with_the_same_weights(name: str) -> None:
    design = load(f"zoo/{name}")
    plain, whole, pruned = (build(d).eval() for d in (load("zoo/deit_small"), keeping_all(design), design))
    for net in (whole, pruned):
        net.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted = plain(images)
        assert torch.allclose(whole(images), wanted, atol=1e-5)
        assert (pruned(images) - wanted).abs().max() > 1e-4


def test_supervits_space_has_its_twelve_networks() -> None:
    space = load_space("supervit")
    assert space.size() == 12
    for name in ("k10", "k07", "k05"):
        assert load(f"zoo/supervit_deit_small_{name}") in space
