"""EfficientMod against a layer table counted by hand from its paper (arXiv 2403.19963) and public code."""

from __future__ import annotations

import pytest

from gas.plan import plan
from gas.space import load

Row = tuple[int, int]
"""Multiply-adds and params of one layer or block."""


def conv(places: int, dim: int, dim_out: int, kernel: int) -> Row:
    """A biased convolution and the layer norm behind it."""
    weights = kernel * kernel * dim * dim_out
    return places * weights, weights + dim_out + 2 * dim_out


def modulation(places: int, dim: int, ratio: int) -> Row:
    """Norm and layer scale; context: linear, 7 x 7 depthwise, linear; value: linear, wider by `ratio`; linear back."""
    linears = dim * dim + dim * dim + dim * ratio * dim + ratio * dim * dim
    biases = dim + dim + dim + ratio * dim + dim
    return places * (linears + 7 * 7 * dim), 2 * dim + dim + linears + 7 * 7 * dim + biases


def attention(places: int, dim: int, inner: int, ratio: int) -> Row:
    """Norm, queries, keys and values without bias, output; norm, two linear layers. Products: q k^T and weights v."""
    linears = dim * 3 * inner + inner * dim + 2 * dim * ratio * dim
    return places * linears + 2 * places * places * inner, linears + dim + ratio * dim + dim + 2 * 2 * dim


XXS = [
    conv(56 * 56, 3, 32, 7),
    *[modulation(56 * 56, 32, 1), modulation(56 * 56, 32, 6)],
    conv(28 * 28, 32, 64, 3),
    *[modulation(28 * 28, 64, 1), modulation(28 * 28, 64, 6)],
    conv(14 * 14, 64, 128, 3),
    *[modulation(14 * 14, 128, 1), modulation(14 * 14, 128, 6)] * 3,
    attention(14 * 14, 128, 8 * 32, 4),  # heads of 128 / 8 = 16 would be narrower than 32
    conv(7 * 7, 128, 256, 3),
    *[modulation(7 * 7, 256, 1), modulation(7 * 7, 256, 6)],
    *[attention(7 * 7, 256, 8 * 32, 4)] * 2,
    (256 * 1000, 2 * 256 + 256 * 1000 + 1000),
]
XS = [
    conv(56 * 56, 3, 32, 7),
    *[modulation(56 * 56, 32, 1), modulation(56 * 56, 32, 4), modulation(56 * 56, 32, 1)],
    conv(28 * 28, 32, 64, 3),
    *[modulation(28 * 28, 64, 1), modulation(28 * 28, 64, 4), modulation(28 * 28, 64, 1)],
    conv(14 * 14, 64, 144, 3),
    *[modulation(14 * 14, 144, 1), modulation(14 * 14, 144, 4)] * 2,
    *[attention(14 * 14, 144, 8 * 32, 4)] * 3,
    conv(7 * 7, 144, 288, 3),
    *[modulation(7 * 7, 288, 1), modulation(7 * 7, 288, 4)],
    *[attention(7 * 7, 288, 8 * 36, 4)] * 3,
    (288 * 1000, 2 * 288 + 288 * 1000 + 1000),
]
S = [
    conv(56 * 56, 3, 32, 7),
    *[modulation(56 * 56, 32, 1), modulation(56 * 56, 32, 6)] * 2,
    conv(28 * 28, 32, 64, 3),
    *[modulation(28 * 28, 64, 1), modulation(28 * 28, 64, 6)] * 2,
    conv(14 * 14, 64, 144, 3),
    *[modulation(14 * 14, 144, 1), modulation(14 * 14, 144, 6)] * 4,
    *[attention(14 * 14, 144, 8 * 32, 4)] * 4,
    conv(7 * 7, 144, 312, 3),
    *[modulation(7 * 7, 312, 1), modulation(7 * 7, 312, 6)] * 2,
    *[attention(7 * 7, 312, 8 * 39, 5)] * 4,  # the last stage's hidden layers are 5 times as wide
    (312 * 1000, 2 * 312 + 312 * 1000 + 1000),
]


@pytest.mark.parametrize(("name", "table"), [("efficientmod_xxs", XXS), ("efficientmod_xs", XS), ("efficientmod_s", S)])
def test_every_part_costs_what_the_table_says(name: str, table: list[Row]) -> None:
    assert [(p.cost.macs, p.cost.params) for p in plan(load(f"zoo/{name}")).placed] == table


def test_blocks_counted_on_paper() -> None:
    # 32 wide on 56 x 56: norm 64, scale 32, context 1056 + 1600 + 1056, value 1056, output 1056
    assert modulation(56 * 56, 32, 1) == (3136 * (4 * 1024 + 1568), 5_920)
    # 6 times as wide: value 6336, output 6176
    assert modulation(56 * 56, 32, 6) == (3136 * (14 * 1024 + 1568), 16_320)
    # 128 wide on 14 x 14: 128 x 768, 256 x 128 + 128, 128 x 512 + 512, 512 x 128 + 128, two norms of 256
    assert attention(14 * 14, 128, 256, 4) == (196 * 262_144 + 2 * 196**2 * 256, 263_424)


# Measured on the public code: params in millions, and multiply-adds in G by torch's counter, which counts nothing for
# fused attention.
@pytest.mark.parametrize(
    ("name", "params", "macs", "products"),
    [
        ("efficientmod_xxs", 4.736, 0.557, 2 * 196**2 * 256 + 2 * 2 * 49**2 * 256),
        ("efficientmod_xs", 6.628, 0.7099, 3 * 2 * 196**2 * 256 + 3 * 2 * 49**2 * 288),
        ("efficientmod_s", 12.897, 1.3175, 4 * 2 * 196**2 * 256 + 4 * 2 * 49**2 * 312),
    ],
)
def test_totals_are_those_measured_on_the_public_code(name: str, params: float, macs: float, products: int) -> None:
    cost = plan(load(f"zoo/{name}")).cost
    assert round(cost.params / 1e6, 3) == params
    assert round((cost.macs - products) / 1e9, 4) == macs


@pytest.mark.parametrize("name", ["efficientmod_xxs", "efficientmod_xs", "efficientmod_s"])
def test_norms_have_the_eps_of_the_public_code(name: str) -> None:
    placed = plan(load(f"zoo/{name}")).placed
    assert {p.options.eps for p in placed} == {1e-5}
