"""The small modules: what they compute, and that folding changes nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.costs import count_module
from gas.patterns import Cost
from gas.patterns.units import (
    ConvNorm,
    LayerNorm2d,
    LayerScale,
    Residual,
    SqueezeExcite,
    conv_cost,
    conv_norm_cost,
    norm_part,
    squeeze_excite_cost,
    strided,
    with_identity,
)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def trained(module: nn.Module) -> nn.Module:
    """In double precision, as if trained: no norm is at what it began with."""
    generator = torch.Generator().manual_seed(1)
    module.double().eval()
    for tensor in (*module.parameters(), *(b for n, b in module.named_buffers() if "running" in n)):
        tensor.data.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return module


@pytest.mark.parametrize("act", ["none", "relu", "gelu"])
@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 2, 1), (5, 1, 6), (2, 2, 3)])
def test_conv_norm_folds_into_one_convolution(kernel: int, stride: int, groups: int, act: str) -> None:
    module = trained(ConvNorm(6, 12, kernel, stride, groups, act, bias=kernel == 3))
    x = noise(2, 6, 8, 8)
    folded = module.folded()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert isinstance(folded, nn.Conv2d) == (act == "none")
    assert torch.allclose(folded(x), module(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("grid", "stride"), [((7, 8), 2), ((14, 14), 4), ((5, 3), 1)])
def test_the_grid_behind_a_strided_convolution(grid: tuple[int, int], stride: int) -> None:
    assert ConvNorm(3, 4, 3, stride)(torch.zeros(1, 3, *grid)).shape[2:] == strided(grid, stride)


def test_costs_are_what_is_counted() -> None:
    with torch.device("meta"):
        plain, normed = nn.Conv2d(6, 12, 3, padding=1, groups=3), ConvNorm(6, 12, 5, groups=2)
        gate = SqueezeExcite(8, 2)
    assert count_module(plain, (1, 6, 7, 5)).cost == conv_cost((7, 5), 6, 12, 3, groups=3)
    assert count_module(normed, (1, 6, 7, 5)).cost == conv_norm_cost((7, 5), 6, 12, 5, groups=2)
    assert count_module(gate, (1, 8, 4, 4)).cost == squeeze_excite_cost(8, 2) == Cost(32, 42)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_depthwise_convolution_takes_its_shortcut_in(scaled: bool) -> None:
    scale = LayerScale(6, 0.5, spatial=True) if scaled else None
    module = trained(Residual(nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=not scaled), scale))
    x = noise(2, 6, 9, 7)
    folded = module.folded()
    assert type(folded) is nn.Conv2d
    assert torch.allclose(folded(x), module(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Conv2d(6, 6, 3, padding=1, groups=2),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 6, 3, 2, padding=1, groups=6),
        nn.Conv2d(6, 6, 4, padding=2, groups=6),
        nn.Linear(6, 6),
    ],
)
def test_no_other_branch_takes_its_shortcut_in(conv: nn.Module) -> None:
    assert with_identity(conv, nn.Identity()) is None


def test_layer_norm_of_a_map_is_over_its_channels() -> None:
    norm = trained(LayerNorm2d(6, eps=1e-6))
    x = noise(2, 6, 3, 4)
    wanted = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    wanted = wanted * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    assert torch.allclose(norm(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hard", [False, True])
def test_squeeze_excite_by_its_definition(hard: bool) -> None:
    module = trained(SqueezeExcite(6, 3, "silu", hard))
    x = noise(2, 6, 3, 4)
    gate = F.silu(x.mean((2, 3)) @ module.reduce.weight[:, :, 0, 0].T + module.reduce.bias)
    gate = gate @ module.expand.weight[:, :, 0, 0].T + module.expand.bias
    gate = ((gate + 3).clamp(0, 6) / 6) if hard else 1 / (1 + (-gate).exp())
    assert torch.allclose(module(x), x * gate[:, :, None, None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["layer", "batch", "group"])
def test_norms_of_a_map_keep_its_shape(kind: str) -> None:
    part = norm_part(kind, 6, "map", eps=0.25)
    assert part.build().eps == 0.25
    assert part.build()(torch.zeros(2, 6, 3, 4)).shape == (2, 6, 3, 4)


def test_no_norm_is_no_part() -> None:
    assert norm_part("none", 6, "tokens") is None
    assert norm_part("layer", 6, "unrolled").cls is nn.LayerNorm
