"""ParFormer against a layer table counted by hand from its public code (arXiv 2403.15004)."""

from __future__ import annotations

import pytest
from torch import nn

from gas.architecture import Spec
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.plan import plan
from gas.space import load

Row = tuple[int, int]
"""Multiply-adds and params of one layer or block."""


def cape(places: int, dim: int, dim_out: int, kernel: int) -> Row:
    """Biased convolution, biased 1 x 1 convolution of the pooled input, layer norm."""
    weights = kernel * kernel * dim * dim_out + dim * dim_out
    return places * weights, weights + 2 * dim_out + 2 * dim_out


def block(places: int, dim: int, heads: int) -> Row:
    """Two norms and two layer scales; half the channels h through each mixer; two linear layers, 4 times as wide.

    Attention: h -> 3 x 32 heads with bias, 32 heads -> h without; per head two products with 32 x 32 weights.
    Separable convolution, without biases: h -> 2h, depthwise 7 x 7, 2h -> h.
    """
    half, inner = dim // 2, 32 * heads
    attention = half * 3 * inner + inner * half
    separable = half * 2 * half + 49 * 2 * half + 2 * half * half
    mlp = 2 * dim * 4 * dim
    macs = places * (attention + separable + mlp) + 2 * places * 32 * inner
    return macs, attention + 3 * inner + separable + mlp + 4 * dim + dim + 2 * 2 * dim + 2 * dim


def head(dim: int) -> Row:
    """Norm; linear layer 4 times as wide, norm; linear layer."""
    weights = dim * 4 * dim + 4 * dim * 1000
    return weights, weights + 4 * dim + 1000 + 2 * dim + 2 * 4 * dim


B1 = [
    cape(56 * 56, 3, 48, 7),
    *[block(56 * 56, 48, 1)] * 3,  # half of 48 channels are fewer than one head of 32 has
    cape(28 * 28, 48, 96, 3),
    *[block(28 * 28, 96, 1)] * 3,  # 48 // 32
    cape(14 * 14, 96, 192, 3),
    *[block(14 * 14, 192, 3)] * 9,
    cape(7 * 7, 192, 384, 3),
    *[block(7 * 7, 384, 6)] * 3,
    head(384),
]
B2 = [
    cape(56 * 56, 3, 64, 7),
    *[block(56 * 56, 64, 1)] * 3,
    cape(28 * 28, 64, 128, 3),
    *[block(28 * 28, 128, 2)] * 3,
    cape(14 * 14, 128, 320, 3),
    *[block(14 * 14, 320, 5)] * 9,
    cape(7 * 7, 320, 512, 3),
    *[block(7 * 7, 512, 8)] * 3,
    head(512),
]


@pytest.mark.parametrize(("name", "table"), [("parformer_b1", B1), ("parformer_b2", B2)])
def test_every_part_costs_what_the_table_says(name: str, table: list[Row]) -> None:
    assert [(p.cost.macs, p.cost.params) for p in plan(load(f"zoo/{name}")).placed] == table


def test_parts_counted_on_paper() -> None:
    # 7 x 7 x 3 x 48 + 48, 3 x 48 + 48, norm 96
    assert cape(56 * 56, 3, 48, 7) == (3136 * (7_056 + 144), 7_392)
    # qkv 24 x 96 + 96, output 32 x 24; 24 x 48, 49 x 48, 48 x 24; 48 x 192 + 192, 192 x 48 + 48; norms 192, scales 96
    assert block(56 * 56, 48, 1) == (3136 * (3_072 + 4_656 + 18_432 + 2 * 32 * 32), 26_784)
    # norm 768, 384 x 1536 + 1536, norm 3072, 1536 x 1000 + 1000
    assert head(384) == (2_125_824, 2_132_200)


# Measured on the public code with torch's counter; it writes attention as plain products, so nothing is left out.
@pytest.mark.parametrize(
    ("name", "params", "macs"), [("parformer_b1", 11.394, 1.5229), ("parformer_b2", 23.25, 3.3454)]
)
def test_totals_are_those_measured_on_the_public_code(name: str, params: float, macs: float) -> None:
    cost = plan(load(f"zoo/{name}")).cost
    assert round(cost.params / 1e6, 3) == params
    assert round(cost.macs / 1e9, 4) == macs


@pytest.mark.parametrize(("options", "eps"), [({"hidden_eps": 1e-5}, [1e-6, 1e-5]), ({}, [1e-6, 1e-6])])
def test_the_heads_second_norm_has_an_eps_of_its_own(options: dict, eps: list[float]) -> None:
    pattern, typed = nested(Spec.of("classifier", hidden=2, hidden_norm=True, **options))
    module = pattern.part(typed, Flow(8, (2, 2), "tokens")).build()
    assert [m.eps for m in module.modules() if isinstance(m, nn.LayerNorm)] == eps


@pytest.mark.parametrize("name", ["parformer_b1", "parformer_b2"])
def test_the_heads_eps_is_that_of_the_public_code(name: str) -> None:
    assert load(f"zoo/{name}").head.options["hidden_eps"] == 1e-5
