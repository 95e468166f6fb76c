"""sdta: its cascade of convolutions, its position encoding and its folding, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Cost, Flow
from gas.patterns.base import nested

FLOW = Flow(10, (4, 6), "map", target=10)


def build(flow: Flow = FLOW, **options: object) -> torch.nn.Module:
    pattern, typed = nested(Spec.of("sdta", heads=2, **options))
    pattern.after(typed, flow)
    torch.manual_seed(0)
    module = pattern.part(typed, flow).build().double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def after_the_convolutions(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What goes into the attention's branch: the module with that branch made 0."""
    torch.nn.init.zeros_(module.scale.gamma)
    return module(x)


def test_a_group_is_convolved_with_the_one_before_it_added() -> None:
    module = build(scales=4)  # ceil(10 / 4) = 3, so 3, 3, 3 and 1 channels
    x = torch.randn(2, 10, 4, 6, dtype=torch.float64)
    wanted, before = [], torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    for number in range(3):
        group = F.pad(x[:, 3 * number : 3 * number + 3] + before, [1] * 4)
        conv, before = module.convs[number], torch.zeros_like(before)
        for row in range(3):
            for column in range(3):
                weight = conv.weight[:, 0, row, column].view(-1, 1, 1)
                before = before + weight * group[:, :, row : row + 4, column : column + 6]
        before = before + conv.bias.view(-1, 1, 1)
        wanted.append(before)
    got = after_the_convolutions(module, x)
    assert torch.allclose(got, torch.cat([*wanted, x[:, 9:]], dim=1), atol=1e-12)


def test_the_attentions_branch_is_added() -> None:
    module = build(scales=2)
    x = torch.randn(2, 10, 4, 6, dtype=torch.float64)
    got, gamma = module(x), module.scale.gamma.detach().clone()
    y = after_the_convolutions(module, x).flatten(2).transpose(1, 2)
    wanted = y + gamma * module.attention(module.norm(y))
    assert torch.allclose(got, wanted.transpose(1, 2).view_as(x), atol=1e-12)


def test_positions_are_waves_along_both_sides() -> None:
    module = build(position=True)
    x = torch.randn(1, 10, 4, 6, dtype=torch.float64)
    linear, gap = module.position.linear, 0.0
    added = after_the_convolutions(module, x)
    module.position = torch.nn.Identity()
    added = added - module(x)
    for row in range(4):
        for column in range(6):
            waves = []
            for place, side in ((row, 4), (column, 6)):
                angle = 2 * math.pi * (place + 1) / (side + 1e-6)
                for wave in range(16):
                    turned = angle / 10000 ** (2 * wave / 32)
                    waves += [math.sin(turned), math.cos(turned)]
            wanted = torch.tensor(waves, dtype=torch.float64) @ linear.weight.T + linear.bias
            gap = max(gap, float((added[0, :, row, column] - wanted).detach().abs().max()))
    assert gap < 1e-5  # the waves are kept in single precision


def test_folded_it_has_no_scale_and_its_positions_are_fixed() -> None:
    module = build(position=True)
    x = torch.randn(2, 10, 4, 6, dtype=torch.float64)
    folded = fuse(module)
    assert torch.allclose(folded(x), module(x), atol=1e-12)
    kinds = {type(m).__name__ for m in folded.modules()}
    assert "FixedPosition" in kinds
    assert not kinds & {"LayerScale", "FourierPosition"}


def test_positions_cost_one_layer_over_the_grid() -> None:
    pattern, plain = nested(Spec.of("sdta", heads=2))
    _, placed = nested(Spec.of("sdta", heads=2, position=True))
    more = pattern.cost(plain, FLOW) + Cost(24 * 64 * 10, 64 * 10 + 10)
    assert pattern.cost(placed, FLOW) == more


@pytest.mark.parametrize(
    ("options", "where"),
    [({"kernel": 2}, "kernel"), ({"scales": 8}, "scales"), ({"heads": 3}, "heads"), ({"head_dim": 5}, "heads")],
)
def test_refuses(options: dict, where: str) -> None:
    # 8 groups of ceil(10 / 8) = 2 channels would need 14 before the last one.
    pattern, typed = nested(Spec.of("sdta", **{"heads": 2, **options}))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, FLOW)
    assert caught.value.where == where
