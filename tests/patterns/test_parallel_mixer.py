"""parallel_mixer and separable_conv: which channels go where, and what is done to them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Cost, Flow
from gas.patterns.base import nested
from gas.patterns.layouts import ToMap, ToTokens

ATTENTION = Spec.of("global_attention", heads=2)
MAP = Flow(12, (4, 6), "map", target=12)


def build(flow: Flow, spec: Spec) -> torch.nn.Module:
    pattern, options = nested(spec)
    pattern.after(options, flow)
    torch.manual_seed(0)
    return pattern.part(options, flow).build().double()


@pytest.mark.parametrize("layout", ["map", "tokens"])
@pytest.mark.parametrize(("share", "first"), [(0.5, 6), (0.4, 4)])
def test_each_mixer_has_its_own_channels(layout: str, share: float, first: int) -> None:
    spec = Spec.of("parallel_mixer", first=ATTENTION, second=Spec("separable_conv"), share=share)
    module = build(MAP.but(layout=layout), spec)
    x = torch.randn(2, 12, 4, 6, dtype=torch.float64)
    attention, conv = (
        next(m for m in module.modules() if type(m).__name__ == name) for name in ("UnitAttention", "SeparableConv")
    )
    left = ToMap((4, 6))(attention(ToTokens()(x[:, :first])))
    wanted = torch.cat([left, conv(x[:, first:])], dim=1)
    got = module(x) if layout == "map" else ToMap((4, 6))(module(ToTokens()(x)))
    assert torch.allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "layouts"),
    [
        (ATTENTION, Spec("separable_conv"), ("tokens", "map")),
        (ATTENTION, ATTENTION, ("tokens",)),
        (Spec("depthwise_conv"), Spec("separable_conv"), ("map",)),
    ],
)
def test_it_reads_what_most_of_its_mixers_read(first: Spec, second: Spec, layouts: tuple[str, ...]) -> None:
    pattern, options = nested(Spec.of("parallel_mixer", first=first, second=second))
    assert pattern.reads(options, MAP) == layouts


def test_it_costs_what_its_mixers_cost_on_their_channels() -> None:
    pattern, options = nested(Spec.of("parallel_mixer", first=ATTENTION, second=Spec("depthwise_conv")))
    # 24 places, 6 channels each: attention 6 x 18 + 18 and 6 x 6 + 6, products 2 x 24 x 24 x 6; 9 x 6 and a norm of 12
    wanted = Cost(24 * (108 + 36) + 2 * 24 * 24 * 6 + 24 * 54, 108 + 18 + 36 + 6 + 54 + 12)
    assert pattern.cost(options, MAP) == wanted


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"first": Spec.of("global_attention", heads=5)}, "first.heads"),
        ({"second": Spec.of("depthwise_conv", kernel=2)}, "second.kernel"),
        ({"share": 0.01}, "share"),
    ],
)
def test_refuses(options: dict, where: str) -> None:
    spec = Spec.of("parallel_mixer", **{"first": ATTENTION, "second": Spec("depthwise_conv"), **options})
    pattern, typed = nested(spec)
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, MAP)
    assert caught.value.where == where


def test_a_class_token_is_refused_where_a_mixer_needs_the_grid() -> None:
    flow = MAP.but(layout="tokens", extra=1)
    pattern, options = nested(Spec.of("parallel_mixer", first=ATTENTION, second=Spec("depthwise_conv")))
    with pytest.raises(DesignError, match="class token"):
        pattern.after(options, flow)
    pattern, options = nested(Spec.of("parallel_mixer", first=ATTENTION, second=ATTENTION))
    assert pattern.after(options, flow).extra == 1


@pytest.mark.parametrize("act_first", [False, True])
def test_separable_conv_has_its_activation_before_or_behind_the_depthwise_one(act_first: bool) -> None:
    module = build(MAP, Spec.of("separable_conv", kernel=3, bias=True, act_first=act_first))
    x = torch.randn(1, 12, 4, 6, dtype=torch.float64)
    hidden = torch.einsum("oi,bihw->bohw", module.widen.weight.flatten(1), x) + module.widen.bias.view(-1, 1, 1)
    hidden = F.pad(F.gelu(hidden) if act_first else hidden, [1] * 4)
    mixed = torch.zeros(1, 24, 4, 6, dtype=torch.float64) + module.depthwise.bias.view(-1, 1, 1)
    for row in range(3):
        for column in range(3):
            weight = module.depthwise.weight[:, 0, row, column].view(-1, 1, 1)
            mixed = mixed + weight * hidden[:, :, row : row + 4, column : column + 6]
    mixed = mixed if act_first else F.gelu(mixed)
    wanted = torch.einsum("oi,bihw->bohw", module.narrow.weight.flatten(1), mixed) + module.narrow.bias.view(-1, 1, 1)
    assert torch.allclose(module(x), wanted, atol=1e-12)


@pytest.mark.parametrize(("options", "where"), [({"kernel": 4}, "kernel"), ({"ratio": 0.05}, "ratio")])
def test_separable_conv_refuses(options: dict, where: str) -> None:
    pattern, typed = nested(Spec.of("separable_conv", **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, MAP)
    assert caught.value.where == where
