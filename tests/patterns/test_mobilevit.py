"""MobileViT's blocks and separable attention against their definitions, place by place."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo.pairing import gap, pair_weights, randomise

from gas.errors import DesignError
from gas.model import build
from gas.patterns import PATTERNS, Flow
from gas.plan import plan
from gas.space import design_from_text, load


def made(name: str, flow: Flow, **options: Any) -> nn.Module:
    pattern = PATTERNS.get(name)
    module = pattern.part(pattern.Options(**options), flow).build().eval().double()
    randomise(module, seed=0)
    return module


def refused(name: str, flow: Flow, **options: Any) -> str:
    pattern = PATTERNS.get(name)
    with pytest.raises(DesignError) as caught:
        pattern.after(pattern.Options(**options), flow)
    return caught.value.where


def image(dim: int, *grid: int) -> Tensor:
    return torch.randn(2, dim, *grid, generator=torch.Generator().manual_seed(1), dtype=torch.double)


def slow_separable(module: nn.Module, x: Tensor, patch: int) -> Tensor:
    """The mixing by its definition: a loop over the places of a patch, sums written out."""
    inner = next(m for m in module.modules() if type(m).__name__ == "SeparableAttention")
    dim, out = x.shape[1], torch.zeros_like(x)
    weight, bias = inner.qkv.weight[..., 0, 0], inner.qkv.bias
    for i in range(patch):
        for j in range(patch):
            own = x[:, :, i::patch, j::patch]  # (B, C, h, w): the tokens at one place of every patch
            tokens = own.flatten(2).transpose(1, 2) @ weight.T + bias  # (B, h*w, 1 + 2*C)
            scores = tokens[..., 0].exp() / tokens[..., 0].exp().sum(1, keepdim=True)  # (B, h*w)
            context = sum(scores[:, n, None] * tokens[:, n, 1 : 1 + dim] for n in range(tokens.shape[1]))  # (B, C)
            mixed = tokens[..., 1 + dim :].clamp_min(0) * context[:, None]  # (B, h*w, C)
            given = mixed @ inner.proj.weight[..., 0, 0].T + inner.proj.bias
            out[:, :, i::patch, j::patch] = given.transpose(1, 2).reshape(own.shape)
    return out


@pytest.mark.parametrize(("grid", "patch"), [((4, 6), 1), ((4, 6), 2), ((3, 6), 3)])
def test_separable_attention_is_its_definition(grid: tuple[int, int], patch: int) -> None:
    module = made("separable_attention", Flow(dim=5, grid=grid, target=5), patch=patch)
    x = image(5, *grid)
    torch.testing.assert_close(module(x), slow_separable(module, x, patch))


def reached(module: nn.Module, dim: int, grid: tuple[int, int], place: tuple[int, int]) -> Tensor:
    """(H, W): whether the output there depends on the input at `place`."""
    x = image(dim, *grid)[:1]
    moved = x.clone()
    moved[0, :, place[0], place[1]] += 1.0
    return (module(x) - module(moved)).abs().amax(dim=(0, 1)) > 1e-9


@pytest.mark.parametrize(
    ("name", "kernel"), [("mobilevit", 1), ("mobilevit_v2", 1), ("mobilevit", 3), ("mobilevit_v2", 3)]
)
def test_layers_mix_the_tokens_at_one_place_of_every_patch(name: str, kernel: int) -> None:
    # Without convolutions over neighbours only the same place of the other patches is reached. The group norms of v2
    # see the whole map, so they are taken out.
    options = {"layers": 1, "kernel": kernel, "inner": 8}
    module = made(name, Flow(dim=6, grid=(6, 4), target=6), **options)
    for parent in list(module.modules()):
        for key, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(parent, key, nn.Identity())
    found = reached(module, 6, (6, 4), (2, 1))
    own_place = torch.zeros(6, 4, dtype=torch.bool)
    own_place[0::2, 1::2] = True
    assert torch.equal(found, own_place if kernel == 1 else torch.ones_like(own_place))


def test_block_equals_attention_over_each_subsampled_map() -> None:
    module = made("mobilevit", Flow(dim=6, grid=(4, 6), target=6), inner=8, heads=2, layers=2)
    x = image(6, 4, 6)
    y = module.local(x)
    mixed = torch.zeros_like(y)
    for i in range(2):
        for j in range(2):
            tokens = y[:, :, i::2, j::2].flatten(2).transpose(1, 2)  # (B, 6, inner)
            mixed[:, :, i::2, j::2] = module.layers(tokens).transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(module(x), module.fusion(torch.cat([x, module.back(mixed)], dim=1)))


def test_where_patches_do_not_divide_the_grid_the_map_is_resized_as_in_the_public_code(timm: ModuleType) -> None:
    design = replace(load("zoo/mobilevit_xxs"), resolution=96)  # grids of 12, 6 and 3
    theirs, ours = timm.create_model("mobilevit_xxs").eval(), build(design).eval()
    randomise(theirs, seed=1)
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    pair_weights(theirs, ours, images)
    with torch.inference_mode():
        assert gap(ours(images), theirs(images)) <= 1e-4


def test_v2_refuses_a_grid_that_patches_do_not_divide() -> None:
    with pytest.raises(DesignError, match="got 2; expected a divisor of the grid's side 7"):
        plan(replace(load("zoo/mobilevitv2_050"), resolution=224))


FLOW = Flow(dim=8, grid=(4, 4), target=8)


@pytest.mark.parametrize(
    ("options", "flow", "where"),
    [
        ({"heads": 3}, FLOW, "heads"),
        ({"patch": 5}, FLOW, "patch"),
        ({"kernel": 2}, FLOW, "kernel"),
        ({"ratio": 0.1}, FLOW, "ratio"),
        ({}, FLOW.but(target=12), ""),
        ({}, FLOW.but(pool=2), ""),
    ],
)
def test_refusals_of_mobilevit(options: dict, flow: Flow, where: str) -> None:
    assert refused("mobilevit", flow, **{"inner": 8, "layers": 1, **options}) == where


@pytest.mark.parametrize(
    ("options", "flow", "where"),
    [
        ({"patch": 3}, FLOW, "patch"),
        ({"kernel": 2}, FLOW, "kernel"),
        ({"ratio": 0.1}, FLOW, "ratio"),
        ({}, FLOW.but(target=12), ""),
        ({}, FLOW.but(pool=2), ""),
    ],
)
def test_refusals_of_v2(options: dict, flow: Flow, where: str) -> None:
    assert refused("mobilevit_v2", flow, layers=1, **options) == where
    if where in ("patch", ""):
        assert refused("separable_attention", flow, **options) == where


def test_a_layer_of_v2_can_be_had_in_any_transformer_block() -> None:
    flow = Flow(dim=8, grid=(4, 6), target=8)
    block = made("mobilevit_v2", flow.but(dim=16, target=16), layers=1)
    mixer = {"pattern": "separable_attention", "patch": 2}
    text = f"""
    input: {{resolution: 16}}
    stem: {{pattern: conv_stem, dim: 8}}
    stages:
      - dim: 8
        blocks:
          - pattern: transformer
            depth: 1
            mixer: {mixer}
            mlp: {{pattern: conv_mlp, ratio: 2, act: silu, norm: false}}
            norm: group
    head: {{pattern: classifier, norm: none}}
    """
    network = build(design_from_text(text)).eval().double()
    layer = next(m for m in network.modules() if type(m).__name__ == "TransformerBlock")
    theirs = next(m for m in block.modules() if type(m).__name__ == "TransformerBlock")
    x = image(8, 4, 4)
    unfolded = torch.stack([x[:, :, i::2, j::2].flatten(2) for i in range(2) for j in range(2)], dim=2)
    with torch.no_grad():
        for ours, other in zip(layer.parameters(), theirs.parameters(), strict=True):
            ours.copy_(other)
        got, wanted = layer(x), theirs(unfolded)
    places = [got[:, :, i::2, j::2].flatten(2) for i in range(2) for j in range(2)]
    torch.testing.assert_close(torch.stack(places, dim=2), wanted)
