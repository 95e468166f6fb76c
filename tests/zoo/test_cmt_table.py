"""CMT against a table worked out by hand from its public code, and against totals measured on that code."""

from __future__ import annotations

import pytest

from gas.costs import traced_count
from gas.patterns import Cost
from gas.patterns.base import nested
from gas.plan import plan
from gas.space import load

STRIDES, HEADS = (8, 4, 2, 1), (1, 2, 4, 8)
# Name: side of the image, width of the stem, widths and depths of the stages, hidden widths of the feed-forward layers
# (3.6 and 4 times the width, rounded down), params and macs as the table adds them up.
VARIANTS = {
    "cmt_ti": (160, 16, (46, 92, 184, 368), (2, 2, 10, 2), (165, 331, 662, 1324), 9_492_426, 638_904_600),
    "cmt_s": (224, 32, (64, 128, 256, 512), (3, 3, 16, 3), (256, 512, 1024, 2048), 26_256_160, 4_031_742_464),
}
# What was measured on the public code, in millions and in thousands of millions, rounded as it was noted.
MEASURED = {"cmt_ti": (9.492, 0.6389), "cmt_s": (26.256, 4.0317)}


def stem(side: int, width: int) -> Cost:
    """Three biased 3 x 3 convolutions with a norm each, the first with step 2."""
    macs = (side // 2) ** 2 * 9 * width * (3 + width + width)
    return Cost(macs, 9 * width * (3 + width + width) + 3 * (width + 2 * width))


def entry(tokens: int, dim: int, wide: int) -> Cost:
    """A biased 2 x 2 convolution with step 2, a layer norm."""
    return Cost(tokens * 4 * dim * wide, 4 * dim * wide + wide + 2 * wide)


def block(tokens: int, dim: int, stride: int, hidden: int) -> Cost:
    """Local perception, attention, feed-forward layer; the attention's bias is the stage's."""
    keys = tokens // stride**2
    local = Cost(tokens * 9 * dim, 9 * dim + dim)
    # A depthwise convolution as wide as its step reads every token once.
    reduction = Cost(tokens * dim, stride**2 * dim + dim + 2 * dim) if stride > 1 else Cost()
    layers = Cost((2 * tokens + 2 * keys) * dim * dim, 4 * (dim * dim + dim))  # queries and last; keys and values
    products = Cost(2 * tokens * keys * dim)
    feed_forward = Cost(tokens * hidden * (2 * dim + 9), hidden * (2 * dim + 9) + 2 * hidden + dim)
    norms = Cost(0, 2 * 2 * dim + 2 * (2 * hidden) + 2 * dim)
    return local + reduction + layers + products + feed_forward + norms


def head(tokens: int, dim: int) -> Cost:
    """A biased 1 x 1 convolution with a norm, a linear layer."""
    return Cost(tokens * dim * 1280 + 1280 * 1000, dim * 1280 + 3 * 1280 + 1281 * 1000)


def table(name: str) -> list[Cost]:
    """Cost of each part in order."""
    side, first, widths, depths, hidden, _, _ = VARIANTS[name]
    costs, before = [stem(side, first)], first
    for stage, (dim, depth) in enumerate(zip(widths, depths, strict=True)):
        tokens = (side // 2 ** (stage + 2)) ** 2
        costs.append(entry(tokens, before, dim))
        position = Cost(0, HEADS[stage] * tokens * (tokens // STRIDES[stage] ** 2))
        costs.append(block(tokens, dim, STRIDES[stage], hidden[stage]) * depth + position)
        before = dim
    return [*costs, head(tokens, before)]


@pytest.mark.parametrize("name", VARIANTS)
def test_each_part_costs_what_the_table_says(name: str) -> None:
    design = load(f"zoo/{name}")
    assert [placed.cost for placed in plan(design).placed] == table(name)
    assert traced_count(design).cost == plan(design).cost


@pytest.mark.parametrize("name", VARIANTS)
def test_the_totals_are_those_measured_on_the_public_code(name: str) -> None:
    *_, params, macs = VARIANTS[name]
    assert sum(table(name), Cost()) == plan(load(f"zoo/{name}")).cost == Cost(macs, params)
    assert (round(params / 1e6, 3), round(macs / 1e9, 4)) == MEASURED[name]


def test_the_positions_of_cmt_s_worked_out() -> None:
    # Heads x tokens x keys: 1 x 3136 x 49, 2 x 784 x 49, 4 x 196 x 49, 8 x 49 x 49.
    stages = [p for p in plan(load("zoo/cmt_s")).placed if p.pattern.name == "shared_position"]
    alone = [nested(p.options.block) for p in stages]
    shared = [block.shared_params(options, p.before) for p, (block, options) in zip(stages, alone, strict=True)]
    assert shared == [153_664, 76_832, 38_416, 19_208]
    # Each block with a position of its own would have them 3, 3, 16 and 3 times.
    again = [block.cost(options, p.before).params for p, (block, options) in zip(stages, alone, strict=True)]
    depths = VARIANTS["cmt_s"][3]
    assert sum(c * d for c, d in zip(again, depths, strict=True)) - sum(p.cost.params for p in stages) == 1_075_648
