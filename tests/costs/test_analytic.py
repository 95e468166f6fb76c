from __future__ import annotations

import pytest
from hiera_parity import hiera, tiny
from random_designs import random_designs

from gas.architecture import Architecture, Spec
from gas.costs import cost
from gas.errors import DesignError
from gas.patterns import Cost


def test_a_tiny_design_by_hand() -> None:
    design = tiny()  # 8 x 8 tokens of width 16, then 4 x 4 of 32 twice, then 2 x 2 of 48; mask unit 4

    def block(tokens: int, dim: int, out: int, queries: int, keys: int) -> Cost:
        macs = tokens * dim * 3 * out + queries * out * out + 2 * queries * keys * out + queries * 8 * out * out
        params = 2 * dim + 2 * out + dim * 3 * out + 3 * out + out * out + out + 8 * out * out + 5 * out
        if dim != out:
            macs, params = macs + tokens * dim * out, params + dim * out + out
        return Cost(macs, params)

    total = Cost(64 * 147 * 16, 147 * 16 + 16 + 64 * 16)  # stem
    total += block(64, 16, 16, 64, 16)
    total += block(64, 16, 32, 16, 16)  # pooled: a unit is 4 x 4 tokens, its queries 2 x 2
    total += block(16, 32, 32, 16, 4)
    total += block(16, 32, 48, 4, 4)  # lags: still in units, now of 2 x 2 tokens
    total += Cost(48 * 10, 2 * 48 + 48 * 10 + 10)  # head
    assert cost(design) == total


def test_depth_multiplies_a_block() -> None:
    designs = [hiera("hiera_tiny_224"), hiera("hiera_small_224")]  # depths 1-2-7-2 and 1-2-11-2
    shallow, deep = (cost(d) for d in designs)
    assert deep.params - shallow.params == 4 * (12 * 384**2 + 13 * 384)
    assert deep.macs - shallow.macs == 4 * (196 * 12 * 384**2 + 2 * 196**2 * 384)


def test_costs_are_whole_numbers() -> None:
    for design in random_designs(20, seed=21):
        assert isinstance(cost(design).macs, int)
        assert isinstance(cost(design).params, int)


def test_an_impossible_design_has_no_cost() -> None:
    with pytest.raises(DesignError):
        cost(Architecture(Spec.of("conv_embed", dim=8), (), Spec.of("classifier"), 30))
