"""efficient_modulation against its definition, place by place."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.base import nested

FLOW = Flow(4, (3, 5), "map", target=4)


@pytest.mark.parametrize("act", ["gelu", "silu"])
@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_the_context_weighs_every_group_of_the_value(ratio: int, act: str) -> None:
    pattern, options = nested(Spec.of("efficient_modulation", ratio=ratio, kernel=3, act=act))
    torch.manual_seed(0)
    module = pattern.part(options, FLOW).build().double()
    narrow, depthwise, _, back = module.context
    act_of = {"gelu": F.gelu, "silu": F.silu}[act]
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)

    def linear(layer: torch.nn.Conv2d, y: torch.Tensor) -> torch.Tensor:
        return y @ layer.weight.flatten(1).T + layer.bias  # (B, C) -> (B, C')

    around = torch.zeros(2, 4, 5, 7, dtype=torch.float64)
    for row in range(3):
        for column in range(5):
            around[:, :, row + 1, column + 1] = linear(narrow, x[:, :, row, column])
    wanted = torch.empty_like(x)
    for row in range(3):
        for column in range(5):
            patch = around[:, :, row : row + 3, column : column + 3] * depthwise.weight[:, 0]
            context = linear(back, act_of(patch.sum((2, 3)) + depthwise.bias))  # (B, C)
            value = linear(module.value, x[:, :, row, column])  # (B, ratio*C)
            value = act_of(value) if ratio > 1 else value
            wanted[:, :, row, column] = linear(module.proj, value * torch.cat([context] * ratio, dim=1))
    assert torch.allclose(module(x), wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "flow", "where"),
    [({"kernel": 6}, FLOW, "kernel"), ({}, FLOW.but(target=8), ""), ({}, FLOW.but(pool=2), "")],
)
def test_refuses(options: dict, flow: Flow, where: str) -> None:
    pattern, typed = nested(Spec.of("efficient_modulation", **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, flow)
    assert caught.value.where == where
