from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo.pairing import randomise

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.patterns.reparam import RepConv
from gas.plan import place


def trained(module: nn.Module) -> nn.Module:
    """Any weights and statistics, in double precision."""
    randomise(module, seed=0)
    return module.eval().double()


def normed(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """A batch norm in evaluation mode, from its definition."""
    mean, std = norm.running_mean.view(-1, 1, 1), (norm.running_var + norm.eps).sqrt().view(-1, 1, 1)
    return (x - mean) / std * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


def convolved(conv: nn.Conv2d, x: Tensor, stride: int) -> Tensor:
    """A padded, grouped, strided convolution, one output number at a time."""
    side, per = conv.weight.shape[-1], conv.weight.shape[1]
    padded = F.pad(x, [side // 2] * 4)
    rows, columns = (-(-n // stride) for n in x.shape[2:])
    out = torch.zeros(len(x), len(conv.weight), rows, columns, dtype=x.dtype)
    for channel, weight in enumerate(conv.weight):
        begin = channel // (len(conv.weight) // conv.groups) * per
        for i in range(rows):
            for j in range(columns):
                seen = padded[:, begin : begin + per, i * stride : i * stride + side, j * stride : j * stride + side]
                out[:, channel, i, j] = (seen * weight).sum((1, 2, 3))
    return out


@pytest.mark.parametrize(
    ("dim", "dim_out", "kernels", "stride", "groups", "identity"),
    [
        (4, 4, (1, 3), 1, 4, True),  # FastViT's mixer
        (4, 4, (1,), 1, 1, True),  # its 1 x 1 units
        (4, 8, (7, 3), 2, 4, False),  # its downsampling
        (3, 6, (1, 3, 3), 2, 1, False),  # MobileOne with two branches
        (4, 4, (1, 5), 1, 2, True),
    ],
)
def test_the_branches_are_summed_and_fold_into_one_convolution(
    dim: int, dim_out: int, kernels: tuple[int, ...], stride: int, groups: int, identity: bool
) -> None:
    unit = trained(RepConv(dim, dim_out, kernels, stride, groups, identity))
    x = torch.randn(2, dim, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    branches = list(unit.branches)
    wanted = normed(branches.pop(0), x) if identity else 0
    for branch in branches:
        wanted = wanted + normed(branch.norm, convolved(branch.conv, x, stride))
    assert torch.allclose(unit(x), wanted, atol=1e-12)
    folded = fuse(unit)
    assert isinstance(folded, nn.Conv2d)
    assert sum(p.numel() for p in folded.parameters()) == dim_out * (dim // groups * max(kernels) ** 2 + 1)
    assert torch.allclose(folded(x), wanted, atol=1e-12)


def test_squeeze_excite_and_activation_stand_behind_the_sum() -> None:
    unit = trained(RepConv(4, 8, (1, 3), groups=4, squeeze=2, act="gelu"))
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    summed = unit.branches[0](x) + unit.branches[1](x)
    assert torch.allclose(unit(x), F.gelu(unit.squeeze(summed)), atol=1e-12)
    assert [type(m).__name__ for m in fuse(unit)] == ["Conv2d", "SqueezeExcite", "GELU"]
    assert torch.allclose(fuse(unit)(x), unit(x), atol=1e-12)


def test_a_block_with_rep_mixer_alone_folds_into_one_convolution_without_a_shortcut() -> None:
    flow = Flow(6, (5, 5), target=6)
    pattern, options = nested(
        Spec.of("transformer", mixer=Spec.of("rep_mixer"), mlp=None, norm="none", layer_scale=0.1)
    )
    block = trained(pattern.part(options, flow).build())
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    unit = block.token_mixer
    mixed = unit.mixer(x) - normed(unit.norm, x)
    assert torch.allclose(block(x), x + block.scale1.gamma.view(-1, 1, 1) * mixed, atol=1e-12)
    folded = fuse(block)
    assert isinstance(folded, nn.Conv2d)
    assert (folded.kernel_size, folded.groups) == ((3, 3), 6)
    assert torch.allclose(folded(x), block(x), atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "flow", "where", "said"),
    [
        (Spec.of("rep_mixer", kernel=4), Flow(6, (5, 5), target=6), "kernel", "got 4; expected an odd number"),
        (Spec.of("conv_ffn", kernel=2), Flow(6, (5, 5), target=6), "kernel", "got 2; expected an odd number"),
        (Spec.of("conv_ffn", ratio=0.1), Flow(6, (5, 5), target=6), "ratio", "at least 1 hidden channel"),
        (Spec.of("rep_classifier", kernel=2), Flow(6, (5, 5)), "kernel", "expected an odd number"),
        (Spec.of("rep_stem", dim=8, kernel=2), Flow(3, (16, 16)), "kernel", "expected an odd number"),
        (Spec.of("rep_stem", dim=8), Flow(3, (18, 18)), "strides", "expected steps that divide the resolution 18"),
        (Spec.of("rep_stem", dim=8, strides=(2, 0)), Flow(3, (16, 16)), "strides", "whole numbers of at least 1"),
        (Spec.of("rep_downsample"), Flow(6, (8, 8), target=9), "", "got 6 coming in and 9 wanted"),
        (Spec.of("rep_downsample", kernel=4), Flow(6, (8, 8), target=12), "kernel", "expected an odd number"),
        (Spec.of("rep_downsample", small=9), Flow(6, (8, 8), target=12), "small", "at most the kernel's 7"),
    ],
)
def test_what_cannot_stand_is_refused(spec: Spec, flow: Flow, where: str, said: str) -> None:
    with pytest.raises(DesignError) as error:
        place(spec, flow)
    assert error.value.where == where
    assert said in str(error.value)


def test_a_stem_whose_strides_do_not_divide_rounds_up_where_told() -> None:
    after = place(Spec.of("rep_stem", dim=8, grid="rounded"), Flow(3, (18, 18)))[2]
    assert (after.grid, after.dim) == ((5, 5), 8)
