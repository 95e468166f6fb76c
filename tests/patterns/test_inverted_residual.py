"""The inverted residual and the head that widens: structure, widths, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow
from gas.patterns.units import SqueezeExcite

BLOCK, HEAD = PATTERNS.get("inverted_residual"), PATTERNS.get("conv_classifier")
FLOW = Flow(dim=8, grid=(6, 6), target=8)


def made(flow: Flow = FLOW, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return BLOCK.part(BLOCK.Options(**options), flow).build().eval()


def convolutions(module: nn.Module) -> list[tuple[int, int, int, int, int]]:
    found = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.groups) for m in found]


def test_it_widens_mixes_and_narrows() -> None:
    module = made(FLOW.but(target=12), expansion=3.0, kernel=5, stride=2)
    assert convolutions(module) == [(8, 24, 1, 1, 1), (24, 24, 5, 2, 24), (24, 12, 1, 1, 1)]


@pytest.mark.parametrize("options", [{"expansion": 1.0}, {"hidden": 8}])
def test_a_hidden_width_like_the_input_needs_no_first_convolution(options: dict) -> None:
    assert convolutions(made(**options)) == [(8, 8, 3, 1, 8), (8, 8, 1, 1, 1)]


@pytest.mark.parametrize(
    ("target", "stride", "added"), [(8, 1, True), (8, 2, False), (12, 1, False)], ids=["stays", "strided", "widened"]
)
def test_the_input_is_added_where_shapes_stay(target: int, stride: int, added: bool) -> None:
    module = made(FLOW.but(target=target), stride=stride)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(module(x), x if added else torch.zeros(1, target, 6 // stride, 6 // stride))


def test_squeeze_excite_stands_before_the_last_convolution_and_its_activations_differ() -> None:
    options = {"act": "hardswish", "se": 0.5, "se_act": "relu", "se_gate": "hard"}
    branch = list(made(**options).branch)
    assert [type(m).__name__ for m in branch] == ["ConvNorm", "ConvNorm", "SqueezeExcite", "ConvNorm"]
    acts = [type(branch[i].act) for i in (0, 1, 2, 3)]
    assert acts == [nn.Hardswish, nn.Hardswish, nn.ReLU, nn.Identity]
    assert branch[2].hard


@pytest.mark.parametrize(
    ("dim", "hidden", "share", "divisor", "wanted"),
    [
        (24, 72, "hidden", 8, 24),  # 18 -> 16 would lose more than a tenth (MobileNetV3, row 4)
        (40, 120, "hidden", 8, 32),  # 30 (rows 5 and 6)
        (112, 672, "hidden", 8, 168),
        (24, 144, "input", 1, 6),  # EfficientNet-B0
        (4, 4, "hidden", 8, 8),  # never none
    ],
)
def test_width_within_squeeze_excite(dim: int, hidden: int, share: str, divisor: int, wanted: int) -> None:
    options = {"hidden": hidden, "se": 0.25, "se_of": share, "se_divisor": divisor}
    excite = next(
        m for m in made(Flow(dim=dim, grid=(4, 4), target=dim), **options).modules() if type(m) is SqueezeExcite
    )
    assert (excite.reduce.in_channels, excite.reduce.out_channels) == (hidden, wanted)


@pytest.mark.parametrize(
    ("options", "flow", "where"),
    [
        ({"kernel": 4}, FLOW, "kernel"),
        ({"expansion": 0.1}, FLOW, "expansion"),
        ({}, FLOW.but(pool=2), "stride"),
    ],
)
def test_refusals(options: dict, flow: Flow, where: str) -> None:
    with pytest.raises(DesignError) as caught:
        BLOCK.after(BLOCK.Options(**options), flow)
    assert caught.value.where == where


@pytest.mark.parametrize(("side", "wanted"), [(8, 4), (7, 4), (1, 1)])
def test_an_odd_grid_is_rounded_up(side: int, wanted: int) -> None:
    after = BLOCK.after(BLOCK.Options(stride=2), Flow(dim=8, grid=(side, side), target=8))
    assert (after.grid, after.scale) == ((wanted, wanted), 2)


def test_head_is_what_the_papers_tables_say() -> None:
    head = HEAD.part(HEAD.Options(dim=20, hidden=30, classes=5, act="hardswish"), FLOW).build().eval()
    x = torch.randn(2, 8, 6, 6)
    widened = nn.functional.hardswish(
        head.conv.norm(torch.einsum("bchw,oc->bohw", x, head.conv.conv.weight[..., 0, 0]))
    )
    first, last = head.hidden[0], head.linear
    vector = nn.functional.hardswish(widened.flatten(2).sum(2) / 36 @ first.weight.T + first.bias)
    torch.testing.assert_close(head(x), vector @ last.weight.T + last.bias)
