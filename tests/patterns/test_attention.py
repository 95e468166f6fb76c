from __future__ import annotations

import pytest
import torch
from map_reference import attention_on_map

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow
from gas.patterns.attention import UnitAttention
from gas.patterns.base import nested
from gas.patterns.layouts import Reroll, ToMap, ToTokens, Unroll


def stand(mixer: Spec, flow: Flow) -> Flow:
    pattern, options = nested(mixer)
    return pattern.after(options, flow)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_equals_attention_cut_out_of_the_map(side: int, pool: int) -> None:
    # `side` counts tokens after pooling, so a unit has side * pool tokens along a side before it.
    grid, groups = (8, 16), 3
    torch.manual_seed(side)
    attention = UnitAttention(12, 24, heads=3, unit=side**2, pool=pool**2).double()
    x = torch.randn(2, 12, *grid, dtype=torch.float64)
    got = attention(Unroll(grid, groups)(ToTokens()(x)))
    pooled = (grid[0] // pool, grid[1] // pool)
    got = ToMap(pooled)(Reroll(pooled, groups - (pool == 2))(got))
    assert torch.allclose(got, attention_on_map(attention, x, side * pool, pool), atol=1e-12)


@pytest.mark.parametrize("pool", [1, 2])
def test_global_attention_equals_one_unit_over_the_whole_map(pool: int) -> None:
    attention = UnitAttention(8, 16, heads=2, pool=pool**2).double()
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    got = attention(Unroll((4, 4), 1)(ToTokens()(x)))
    got = ToMap((4 // pool, 4 // pool))(Reroll((4 // pool, 4 // pool), 2 - pool)(got))
    assert torch.allclose(got, attention_on_map(attention, x, 4, pool), atol=1e-12)


def test_a_token_sees_its_own_unit_only() -> None:
    attention = UnitAttention(8, 8, heads=2, unit=4)
    x = torch.randn(1, 16, 8, requires_grad=True)  # 4 units: token t belongs to unit t % 4
    attention(x)[0, 5].sum().backward()
    seen = x.grad[0].abs().sum(dim=1) > 0
    assert seen.tolist() == [t % 4 == 1 for t in range(16)]


@pytest.mark.parametrize("name", ["global_attention", "mask_unit_attention"])
def test_heads_and_head_dim_say_the_same(name: str) -> None:
    flow = Flow(dim=24, grid=(8, 8), layout="unrolled", target=24)
    pattern = PATTERNS.get(name)
    parts = [pattern.part(nested(spec)[1], flow) for spec in (Spec.of(name, heads=3), Spec.of(name, head_dim=8))]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("name", ["global_attention", "mask_unit_attention"])
@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({}, "heads", "expected exactly one of `heads` and `head_dim`"),
        ({"heads": 2, "head_dim": 8}, "heads", "expected exactly one of `heads` and `head_dim`"),
        ({"heads": 5}, "heads", "got 5; expected a divisor of the width 24"),
        ({"head_dim": 7}, "head_dim", "got 7; expected a divisor of the width 24"),
    ],
)
def test_heads_that_cannot_be(name: str, options: dict, where: str, problem: str) -> None:
    flow = Flow(dim=16, grid=(8, 8), layout="unrolled", target=24)
    with pytest.raises(DesignError) as caught:
        stand(Spec.of(name, **options), flow)
    assert (caught.value.where, caught.value.problem) == (where, problem)


@pytest.mark.parametrize(
    ("mask_unit", "flow", "problem"),
    [
        (6, Flow(16, (12, 12), "unrolled", 16), "expected a power of two"),
        (4, Flow(16, (4, 4), "unrolled", 16, scale=8), "smaller than a token"),
        (4, Flow(16, (8, 8), "unrolled", 16, pool=2, scale=4), "smaller than a token"),
        (8, Flow(16, (12, 12), "unrolled", 16), "does not divide the grid's side 12"),
        (8, Flow(16, (12, 12), "unrolled", 16, pool=2), "does not divide the grid's side 6"),
    ],
)
def test_mask_units_that_cannot_be(mask_unit: int, flow: Flow, problem: str) -> None:
    with pytest.raises(DesignError, match=problem) as caught:
        stand(Spec.of("mask_unit_attention", heads=1, mask_unit=mask_unit), flow)
    assert caught.value.where == "mask_unit"


def test_a_mask_unit_shrinks_with_every_pooling() -> None:
    pattern, options = nested(Spec.of("mask_unit_attention", heads=1, mask_unit=8))
    sides = [
        pattern.unit_side(options, Flow(16, (8, 8), target=16, scale=s, pool=p)) for s, p in ((1, 1), (1, 2), (4, 2))
    ]
    assert sides == [8, 4, 1]
    assert pattern.groups(options, Flow(16, (8, 8), target=16, scale=1, pool=2)) == 3  # 4 x 4 after pooling, and it


def test_pooling_an_odd_grid_is_refused() -> None:
    with pytest.raises(DesignError, match="pooling by 2 does not divide the grid's side 7"):
        stand(Spec.of("global_attention", heads=1), Flow(16, (7, 7), "unrolled", 16, pool=2))


def test_unpooled_global_attention_does_not_mind_the_order_of_tokens() -> None:
    attention = UnitAttention(8, 8, heads=2).double()
    x = torch.randn(1, 12, 8, dtype=torch.float64)
    order = torch.randperm(12)
    assert torch.allclose(attention(x)[:, order], attention(x[:, order]), atol=1e-12)
    pattern, options = nested(Spec.of("global_attention", heads=2))
    assert pattern.reads(options, Flow(8, (3, 4), target=8)) == ("tokens", "unrolled", "set")
    assert pattern.reads(options, Flow(8, (4, 4), target=8, pool=2)) == ("unrolled",)
