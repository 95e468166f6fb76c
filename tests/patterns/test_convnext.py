"""convnext: one residual branch, whatever its mixers read; the rest is in the contract test."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.patterns.layouts import ToMap, ToTokens

FLOW = Flow(8, (6, 4), "map", target=8)


def build(flow: Flow = FLOW, **options: object) -> torch.nn.Module:
    pattern, typed = nested(Spec.of("convnext", **options))
    pattern.after(typed, flow)
    torch.manual_seed(0)
    module = pattern.part(typed, flow).build().double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


@pytest.mark.parametrize("mlp", [Spec("mlp"), Spec.of("conv_mlp", norm=False)])
def test_it_is_the_block_of_the_paper(mlp: Spec) -> None:
    module = build(mlp=mlp)
    depthwise = module.token_mixer
    norm = next(m for m in module.modules() if isinstance(m, torch.nn.LayerNorm))
    first, last = [
        m for m in module.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d) and 32 in m.weight.shape[:2]
    ]
    x = torch.randn(2, 8, 6, 4, dtype=torch.float64)
    wanted = torch.empty_like(x)
    padded = F.pad(x, [3] * 4)
    for row in range(6):
        for column in range(4):
            patch = padded[:, :, row : row + 7, column : column + 7]
            y = (patch * depthwise.weight[:, 0]).sum((2, 3)) + depthwise.bias  # (B, C)
            y = (y - y.mean(1, keepdim=True)) / (y.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
            y = y * norm.weight + norm.bias
            y = F.gelu(y @ first.weight.flatten(1).T + first.bias) @ last.weight.flatten(1).T + last.bias
            wanted[:, :, row, column] = x[:, :, row, column] + module.scale.gamma * y
    assert torch.allclose(module(x), wanted, atol=1e-12)
    assert torch.allclose(fuse(module)(x), wanted, atol=1e-12)


def test_a_mixer_of_tokens_makes_a_block_of_tokens() -> None:
    pattern, options = nested(Spec.of("convnext", mixer=Spec.of("global_attention", heads=2)))
    assert pattern.reads(options, FLOW)[0] == "tokens"
    tokens = FLOW.but(layout="tokens")
    module = build(tokens, mixer=Spec.of("global_attention", heads=2))
    x = torch.randn(2, 24, 8, dtype=torch.float64)
    wanted = x + module.scale(module.channel_mixer(module.norm(module.token_mixer(x))))
    assert torch.equal(module(x), wanted)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_other_norms_stand_between_the_mixers(norm: str) -> None:
    module = build(norm=norm)
    between = {"batch": torch.nn.BatchNorm2d, "group": torch.nn.GroupNorm, "none": torch.nn.Identity}
    assert isinstance(module.norm, between[norm])
    x = torch.randn(2, 8, 6, 4, dtype=torch.float64)
    assert torch.allclose(fuse(module)(x), module(x), atol=1e-12)


def test_folding_leaves_neither_scale_nor_batch_norm() -> None:
    folded = fuse(build(norm="batch"))
    kinds = {type(module).__name__ for module in folded.modules()}
    assert not kinds & {"LayerScale", "BatchNorm2d"}


@pytest.mark.parametrize(
    ("options", "flow", "where"),
    [
        ({}, FLOW.but(target=16), ""),
        ({}, FLOW.but(pool=2), ""),
        ({"mixer": Spec.of("depthwise_conv", kernel=4)}, FLOW, "mixer.kernel"),
        ({"mixer": Spec.of("sdta", heads=3)}, FLOW, "mixer.heads"),
        ({"mlp": Spec.of("mlp", ratio=0.01)}, FLOW, "mlp.ratio"),
        ({"norm": "group"}, Flow(1, (1, 1), "map", target=1), "norm"),
    ],
)
def test_refuses(options: dict, flow: Flow, where: str) -> None:
    pattern, typed = nested(Spec.of("convnext", **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, flow)
    assert caught.value.where == where


def test_a_class_token_is_refused_by_a_mixer_on_the_map() -> None:
    pattern, options = nested(Spec.of("convnext", mixer=Spec.of("global_attention", heads=2), mlp=Spec("conv_mlp")))
    with pytest.raises(DesignError, match="class token"):
        pattern.after(options, FLOW.but(layout="tokens", extra=1))


def test_conversions_do_not_move_what_they_convert() -> None:
    # A map whose channels lie last in memory goes through the block without a copy for its layout.
    x = torch.randn(2, 8, 6, 4).contiguous(memory_format=torch.channels_last)
    tokens = ToTokens()(x)
    assert tokens.is_contiguous()
    assert ToMap((6, 4))(tokens).data_ptr() == x.data_ptr()
