from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Flow
from gas.patterns.base import nested

FLOW = Flow(6, (5, 4), "map", 6)


def made(**options) -> nn.Module:
    pattern, typed = nested(Spec.of("inverted_residual_mlp", **options))
    pattern.after(typed, FLOW)
    module = pattern.part(typed, FLOW).build().eval().double()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(noise.abs() + 0.5 if name.endswith("running_var") else noise)
    return module


def conv(x: Tensor, layer: nn.Conv2d, kernel: int) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=kernel // 2, groups=layer.groups)


def norm(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-5)


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("norm_last", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_its_steps(bias: bool, norm_last: bool, shortcut: bool) -> None:
    kernel = 5 if shortcut else 3
    module = made(ratio=1.5, kernel=kernel, norm_last=norm_last, shortcut=shortcut, bias=bias)
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.groups) for c in convs] == [(6, 9, 1), (9, 9, 9), (9, 6, 1)]
    assert all((c.bias is not None) == bias for c in convs)
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    with torch.inference_mode():
        if norm_last:  # as in CMT: convolution, GELU, norm
            y = norm(F.gelu(conv(x, module.expand, 1)), module.norm1)
            z = conv(y, module.depthwise, kernel)
            z = norm(F.gelu(z + y if shortcut else z), module.norm2)
        else:  # as in EfficientFormerV2: convolution, norm, GELU
            y = F.gelu(norm(conv(x, module.expand.conv, 1), module.expand.norm))
            z = norm(conv(y, module.depthwise.conv, kernel), module.depthwise.norm)
            z = F.gelu(z + y if shortcut else z)
        wanted = norm(conv(z, module.project.conv, 1), module.project.norm)
        assert torch.allclose(module(x), wanted, atol=1e-10)
        assert torch.allclose(fuse(module)(x), wanted, atol=1e-10)


@pytest.mark.parametrize(("norm_last", "left"), [(True, 1), (False, 0)])
def test_folded_it_is_three_convolutions_and_at_most_one_norm(norm_last: bool, left: int) -> None:
    folded = fuse(made(norm_last=norm_last, shortcut=True))
    assert sum(isinstance(m, nn.Conv2d) for m in folded.modules()) == 3
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == left
    assert not folded.shortcut


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({"kernel": 2}, "kernel", "got 2; expected an odd number"),
        ({"ratio": 0.1}, "ratio", "got 0.1; expected one that leaves at least 1 hidden channel"),
    ],
)
def test_where_it_cannot_stand(options: dict, where: str, problem: str) -> None:
    with pytest.raises(DesignError) as caught:
        made(**options)
    assert (caught.value.where, caught.value.problem) == (where, problem)
