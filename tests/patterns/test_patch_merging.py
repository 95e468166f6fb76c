from __future__ import annotations

import pytest
import torch

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.patterns.patch_merging import PatchMerging


@pytest.mark.parametrize("stride", [2, 3])
def test_equals_the_square_of_neighbours_normed_and_projected(stride: int) -> None:
    grid = (2 * stride, 3 * stride)
    module = PatchMerging(4, 6, grid, stride, eps=1e-5).double()
    x = torch.randn(2, grid[0] * grid[1], 4, dtype=torch.float64)
    with torch.inference_mode():
        module.norm.weight.normal_()
        got = module(x)
        for row in range(2):
            for column in range(3):
                joined = []
                for dx in range(stride):  # column by column, as the public code lists them
                    for dy in range(stride):
                        joined.append(x[:, (row * stride + dy) * grid[1] + column * stride + dx])
                wanted = module.reduction(module.norm(torch.cat(joined, dim=1)))
                assert torch.allclose(got[:, row * 3 + column], wanted, atol=1e-12)


@pytest.mark.parametrize("grid", [(7, 8), (8, 7)])
def test_a_grid_of_odd_sides_is_refused(grid: tuple[int, int]) -> None:
    pattern, options = nested(Spec.of("patch_merging"))
    with pytest.raises(DesignError) as caught:
        pattern.after(options, Flow(8, grid, "tokens", 16))
    assert (caught.value.where, caught.value.problem) == ("stride", "got 2; expected a divisor of the grid's side 7")
