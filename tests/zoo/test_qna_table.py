"""QnA-ViT-T against a table worked out by hand from the public code, which runs in JAX alone."""

from __future__ import annotations

import pytest

from gas.costs import traced_count
from gas.patterns import Cost
from gas.plan import plan
from gas.space import load


def mixer(tokens: int, dim: int) -> Cost:
    """Channel mixer of ratio 4 with its norm: two biased layers."""
    return Cost(tokens * 8 * dim * dim, 8 * dim * dim + 5 * dim + 2 * dim)


def qna(tokens: int, dim: int, heads: int) -> Cost:
    """Norm, two learned queries a head over 3 x 3 fields, no biases but those of the offsets, and the channel mixer."""
    scores = 2 * heads
    macs = (
        2 * dim * dim  # queries times keys, once
        + tokens * dim * scores  # scores
        + tokens * dim * dim  # values
        + tokens * 9 * 2 * dim  # sums of weighted values, for either query
        + tokens * 9 * scores  # sums of weights
        + tokens * dim * dim  # last layer
    )
    params = 2 * dim + 2 * dim + 3 * dim * dim + 2 * 9 * scores  # norm; queries; keys, values, last; biases, scales
    return Cost(macs, params) + mixer(tokens, dim)


def down(tokens: int, dim: int, heads: int) -> Cost:
    """The step from `dim` to twice that, on `tokens` before and a quarter of them behind; no channel mixer."""
    wide, few, scores = 2 * dim, tokens // 4, 2 * heads
    macs = 2 * wide * dim + tokens * dim * (scores + wide) + few * 9 * (2 * wide + scores) + few * wide * wide
    params = 2 * dim + 2 * wide + 2 * dim * wide + wide * wide + 2 * 9 * scores
    return Cost(macs + few * dim * wide, params + dim * wide)  # with the 1 x 1 convolution beside it


def window(tokens: int, dim: int, heads: int, side: int) -> Cost:
    """Norm, window attention without biases but for the offsets', and the channel mixer."""
    macs = 4 * tokens * dim * dim + 2 * tokens * side**2 * dim
    return Cost(macs, 2 * dim + 4 * dim * dim + (2 * side - 1) ** 2 * heads) + mixer(tokens, dim)


TABLE = [
    Cost(56 * 56 * 48 * 64, 48 * 64),  # 4 x 4 patches of 3 channels
    *[qna(3136, 64, 8)] * 2,
    down(3136, 64, 16),
    mixer(784, 128),
    *[qna(784, 128, 16)] * 3,
    down(784, 128, 32),
    mixer(196, 256),
    *[window(196, 256, 8, 14)] * 4,
    *[qna(196, 256, 32)] * 2,
    down(196, 256, 64),
    mixer(49, 512),
    *[window(49, 512, 16, 7)] * 2,
    Cost(512_000, 2 * 512 + 513_000),  # norm, linear layer
]


def test_each_part_costs_what_the_table_says() -> None:
    design = load("zoo/qna_vit_t")
    assert [placed.cost for placed in plan(design).placed] == TABLE
    assert plan(design).cost == sum(TABLE, Cost()) == Cost(2_423_171_968, 15_715_560)
    assert traced_count(design).cost == plan(design).cost


def test_the_totals_are_near_the_published_ones() -> None:
    cost = plan(load("zoo/qna_vit_t")).cost
    assert round(cost.params / 1e6) == 16
    assert cost.macs / 1e9 == pytest.approx(2.5, rel=0.04)
