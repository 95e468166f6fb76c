from __future__ import annotations

import pytest
import torch
from hiera_parity import HIERA, hiera, tiny, turbovit
from random_designs import random_designs
from torch import nn

from gas.architecture import Architecture
from gas.costs import cost, count_module, fvcore_count, traced_count
from gas.costs.traced import FUSED_ATTENTION
from gas.patterns import Cost
from gas.space import bundled, load

ZOO = {**{name: hiera(name) for name in HIERA}, "turbovit": turbovit(), "tiny": tiny()}

# What fvcore meets in these designs and gives no macs: additions, activations, maxima and means multiply nothing, and
# unflatten moves nothing. Fused attention is the exception, and is added.
WITHOUT_MACS = {"aten::add", "aten::gelu", "aten::amax", "aten::mean", "aten::unflatten"}


@pytest.mark.parametrize("design", ZOO.values(), ids=ZOO)
def test_formulas_equal_torchs_count(design: Architecture) -> None:
    assert traced_count(design).cost == cost(design)


@pytest.mark.parametrize("name", ["turbovit", "tiny"])
def test_formulas_equal_fvcores_count_but_for_what_it_does_not_count(name: str) -> None:
    count = fvcore_count(ZOO[name])
    assert set(count.uncounted) - {FUSED_ATTENTION} <= WITHOUT_MACS
    assert count.uncounted[FUSED_ATTENTION] == sum(ZOO[name].depths)
    assert count.macs == cost(ZOO[name]).macs
    assert count.total == cost(ZOO[name]).macs + count.norms - count.fused_attention
    assert count.norms > 0
    assert count.fused_attention == traced_count(ZOO[name]).by_operator["bmm"]


def test_fvcores_count_of_random_designs() -> None:
    for design in random_designs(4, seed=31):
        assert fvcore_count(design).macs == cost(design).macs


def test_the_norms_explain_the_published_count_of_turbovits_table() -> None:
    # 2.483 G circulates: it is fvcore's count with 5 per element of every layer norm, and with fused attention.
    count = fvcore_count(turbovit())
    assert count.total + count.fused_attention == 2_483_047_424
    assert count.norms == 9_912_320


def test_count_module_on_a_module_of_known_size() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.LayerNorm(7), nn.Linear(7, 2, bias=False))
    count = count_module(module, (1, 3, 5))
    assert count.cost == Cost(3 * (35 + 14), 35 + 7 + 14 + 14)
    assert sum(count.by_operator.values()) == count.cost.macs


def test_a_module_without_products_costs_nothing() -> None:
    count = count_module(nn.ReLU(), (1, 3))
    assert count.cost == Cost()
    assert count.by_operator == {}


def test_counting_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    traced_count(tiny())
    fvcore_count(tiny())
    assert torch.equal(torch.random.get_rng_state(), before)


QUICK = ("zoo/efficientvit_m0", "zoo/efficientformerv2_s0", "zoo/mobilevitv2_050")  # summed products, resampling


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in bundled()
        if name.startswith("zoo/")
    ],
)
def test_fvcore_agrees_on_the_whole_zoo(name: str) -> None:
    design = load(name)
    assert fvcore_count(design).macs == cost(design).macs
