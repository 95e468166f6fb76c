"""sandwich and sandwich_downsample: the order of their parts, their folding; the rest is in the contract test."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Cost, Flow
from gas.patterns.base import nested
from gas.patterns.units import ConvNorm, SqueezeExcite
from gas.plan import place

MIXER = Spec.of("cascaded_group_attention", heads=2)


def made(flow: Flow, name: str, **options: object) -> nn.Module:
    """The module with the statistics of a few images."""
    pattern, typed = nested(Spec.of(name, **options))
    pattern.after(typed, flow)
    torch.manual_seed(0)
    module = pattern.part(typed, flow).build().double()
    module(torch.randn(4, *flow.shape, dtype=torch.double))
    return module.eval()


def leaves(module: nn.Module, kinds: tuple[type, ...]) -> list[nn.Module]:
    return [m for m in module.modules() if isinstance(m, kinds)]


@pytest.mark.parametrize("pairs", [1, 2])
def test_pairs_stand_on_both_sides_of_the_mixer(pairs: int) -> None:
    flow = Flow(8, (4, 4), target=8)
    module = made(flow, "sandwich", mixer=MIXER, pairs=pairs)
    x = torch.randn(2, 8, 4, 4, dtype=torch.double)
    blocks = list(module)
    assert len(blocks) == 2 * pairs + 1
    with torch.inference_mode():
        wanted = x
        for number, block in enumerate(blocks):
            if number == pairs:
                wanted = wanted + block.token_mixer(wanted)
                continue
            wanted = wanted + block.local.branch(wanted)
            wanted = wanted + block.channel_mixer(wanted)
        assert torch.allclose(module(x), wanted, rtol=1e-9)
    assert [block.token_mixer is not None for block in blocks] == [n == pairs for n in range(2 * pairs + 1)]


def test_the_local_convolutions_take_their_shortcuts_in() -> None:
    flow = Flow(8, (4, 4), target=8)
    folded = fuse(made(flow, "sandwich", mixer=MIXER))
    assert [type(folded[i].local) for i in (0, 2)] == [nn.Conv2d, nn.Conv2d]
    assert not leaves(folded, (nn.BatchNorm2d,))
    entered = fuse(made(flow.but(target=12), "sandwich_downsample"))
    assert [type(entered[i].local) for i in (0, -1)] == [nn.Conv2d, nn.Conv2d]
    assert not leaves(entered, (nn.BatchNorm2d,))


def test_mixers_of_tokens_work_in_a_sandwich() -> None:
    for mixer in (Spec.of("global_attention", heads=2), None):
        module = made(Flow(8, (4, 4), target=8), "sandwich", mixer=mixer, mlp=Spec("mlp"), norm="layer")
        assert module(torch.randn(2, 8, 4, 4, dtype=torch.double)).shape == (2, 8, 4, 4)


def test_the_bottleneck_by_hand() -> None:
    """6 x 5 tokens of 10 channels become 3 x 3 of 16; the hidden 40 are squeezed to 10, rounded to 8."""
    pattern, options = nested(Spec.of("sandwich_downsample", mlp=None, local=None))
    flow = Flow(10, (6, 5), target=16)
    after = pattern.after(options, flow)
    assert (after.dim, after.grid, after.scale) == (16, (3, 3), 2)
    macs = 30 * 10 * 40 + 9 * 9 * 40 + 2 * 40 * 8 + 9 * 40 * 16
    params = (10 * 40 + 80) + (9 * 40 + 80) + (2 * 40 * 8 + 8 + 40) + (40 * 16 + 32)
    assert pattern.cost(options, flow) == Cost(macs, params)
    parts = list(made(flow, "sandwich_downsample", mlp=None, local=None))
    assert [type(p) for p in parts] == [ConvNorm, ConvNorm, SqueezeExcite, ConvNorm]
    pairs = 30 * 10 * 9 + 30 * 2 * 10 * 20 + 9 * 16 * 9 + 9 * 2 * 16 * 32
    assert pattern.cost(nested(Spec("sandwich_downsample"))[1], flow).macs == macs + pairs


@pytest.mark.parametrize(("squeeze", "hidden"), [(0.25, 312), (0.001, 8), (None, None)])
def test_the_squeeze_is_rounded_to_eights(squeeze: float | None, hidden: int | None) -> None:
    """SHViT-S2 has 308 channels, so a hidden 1232 of which a quarter is 308."""
    module = made(Flow(308, (2, 2), target=16), "sandwich_downsample", squeeze=squeeze)
    assert [m.reduce.out_channels for m in leaves(module, (SqueezeExcite,))] == ([] if hidden is None else [hidden])


@pytest.mark.parametrize(
    ("name", "options", "flow", "where", "problem"),
    [
        ("sandwich", {"mixer": None, "local": None, "mlp": None}, Flow(8, (4, 4), target=8), "mixer", "expected at"),
        ("sandwich", {"mixer": MIXER}, Flow(9, (4, 4), target=9), "mixer.heads", "got 2; expected a divisor"),
        ("sandwich", {"mixer": None}, Flow(8, (4, 4), target=16), "mixer", "cannot change the width from 8 to 16"),
        ("sandwich_downsample", {"kernel": 4}, Flow(8, (4, 4), target=16), "kernel", "got 4; expected an odd"),
        ("sandwich_downsample", {"expand": 0.1}, Flow(8, (4, 4), target=16), "expand", "leaves at least 1 hidden"),
        (
            "sandwich_downsample",
            {"local": Spec.of("depthwise_conv", kernel=2)},
            Flow(8, (4, 4), target=16),
            "local.kernel",
            "got 2; expected an odd",
        ),
    ],
)
def test_what_cannot_stand(name: str, options: dict, flow: Flow, where: str, problem: str) -> None:
    with pytest.raises(DesignError) as caught:
        place(Spec.of(name, **options), flow)
    assert caught.value.where == where
    assert problem in caught.value.problem
