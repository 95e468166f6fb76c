"""cape_embed and cape_downsample: both branches by their definition, and the kernels that do not suit a stride."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.base import nested


@pytest.mark.parametrize(
    ("spec", "flow", "kernel", "stride", "padding"),
    [
        (Spec.of("cape_embed", dim=6), Flow(3, (12, 8)), 7, 4, 2),
        (Spec.of("cape_downsample"), Flow(3, (6, 4), "map", target=6), 3, 2, 1),
    ],
)
def test_convolution_and_pooled_branch_are_summed(
    spec: Spec, flow: Flow, kernel: int, stride: int, padding: int
) -> None:
    pattern, options = nested(spec)
    torch.manual_seed(0)
    module = pattern.part(options, flow).build().double()
    torch.nn.init.normal_(module.norm.weight)
    x = torch.randn(2, 3, *flow.grid, dtype=torch.float64)
    rows, columns = flow.grid[0] // stride, flow.grid[1] // stride
    padded = F.pad(x, [padding] * 4)
    half = kernel // 2
    widest = F.pad(x, [half] * 4, value=-torch.inf)
    wanted = torch.empty(2, 6, rows, columns, dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            patch = padded[:, :, top : top + kernel, left : left + kernel]
            y = torch.einsum("oikl,bikl->bo", module.conv.weight, patch) + module.conv.bias
            side = kernel + half
            most = widest[:, :, top : top + side, left : left + side].amax((2, 3))  # (B, 3)
            y = y + F.gelu(most @ module.pointwise.weight.flatten(1).T + module.pointwise.bias)
            y = (y - y.mean(1, keepdim=True)) / (y.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            wanted[:, :, row, column] = y * module.norm.weight + module.norm.bias
    assert torch.allclose(module(x), wanted, atol=1e-12)
    assert pattern.after(options, flow).grid == (rows, columns)


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "where"),
    [
        (4, 2, 8, "kernel"),
        (1, 2, 8, "kernel"),
        (3, 2, 7, "stride"),
        (7, 2, 8, "kernel"),  # both branches would give 3 places of 8
        (3, 1, 8, "kernel"),  # the convolution would give 8 places, the pooling 7
    ],
)
def test_refuses_what_does_not_come_out_even(kernel: int, stride: int, side: int, where: str) -> None:
    pattern, options = nested(Spec.of("cape_downsample", kernel=kernel, stride=stride))
    with pytest.raises(DesignError) as caught:
        pattern.after(options, Flow(3, (side, side), "map", target=6))
    assert caught.value.where == where
