from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import PATTERNS, Flow
from gas.patterns.multi_group_mlp import MultiGroupConv

PATTERN = PATTERNS.get("multi_group_mlp")


def test_folded_it_is_the_plain_pair_of_layers_whatever_the_groups() -> None:
    flow = Flow(8, (3, 3))
    module = PATTERN.part(PATTERN.Options(ratio=2.0, groups=(1, 2, 8, 4)), flow).build().double().eval()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    folded = fuse(module)
    assert [(c.in_channels, c.out_channels, c.groups) for c in folded.modules() if isinstance(c, nn.Conv2d)] == [
        (8, 16, 1),
        (16, 8, 1),
    ]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), module(x))


def test_a_grouped_branch_reads_its_group_alone() -> None:
    conv = MultiGroupConv(4, 6, groups=[2]).eval()
    weight = fuse(conv).weight[:, :, 0, 0]  # (6, 4)
    assert (weight[:3, 2:] == 0).all()
    assert (weight[3:, :2] == 0).all()
    assert (weight[:3, :2] != 0).all()


def test_a_branch_with_more_groups_is_cheaper() -> None:
    flow = Flow(8, (2, 2))
    costs = [PATTERN.cost(PATTERN.Options(ratio=2.0, groups=(g,)), flow).macs for g in (1, 2, 4)]
    assert costs == [2 * 4 * 8 * 16 // g for g in (1, 2, 4)]
    assert PATTERN.cost(PATTERN.Options(ratio=2.0, groups=(1, 2, 4)), flow).macs == sum(costs)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"groups": (1, 3)}, "groups: got 3; expected divisors of the width 8 and the hidden width 32"),
        ({"groups": (8,), "ratio": 1.5}, "groups: got 8"),
        ({"groups": (0,)}, "groups: got 0"),
        ({"ratio": 0.1}, "ratio: got 0.1"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        PATTERN.after(PATTERN.Options(**options), Flow(8, (4, 4)))
