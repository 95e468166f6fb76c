from __future__ import annotations

import pytest
import torch

from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow

PATTERN = PATTERNS.get("double_conv")


def test_a_channel_sees_its_group_alone_within_two_kernels() -> None:
    flow = Flow(4, (9, 9), target=4)
    module = PATTERN.part(PATTERN.Options(groups=2, ratio=2.0), flow).build().eval()
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    module(x)[0, 0, 4, 4].backward()
    seen = x.grad[0].abs() > 0
    assert seen[:2, 2:7, 2:7].all()
    assert seen.sum() == seen[:2, 2:7, 2:7].sum()


def test_macs_are_two_dense_convolutions() -> None:
    cost = PATTERN.cost(PATTERN.Options(bias=True), Flow(64, (56, 56), target=64))
    assert cost.macs == 2 * 56 * 56 * 9 * 64 * 64
    assert cost.params == 2 * (9 * 64 * 64 + 64 + 2 * 64)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"groups": 3}, "groups: got 3; expected a divisor of the width 4"),
        ({"groups": 4, "ratio": 0.5}, "groups: got 4"),
        ({"kernel": 4}, "kernel: got 4; expected an odd number"),
        ({"ratio": 0.1}, "ratio: got 0.1"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict, problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        PATTERN.after(PATTERN.Options(**options), Flow(4, (4, 4), target=4))
