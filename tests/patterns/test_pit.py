"""pit_embed and pit_pooling by their definitions, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.base import nested


@pytest.mark.parametrize("class_token", [True, False])
def test_patches_overlap_and_only_they_have_positions(class_token: bool) -> None:
    pattern, options = nested(Spec.of("pit_embed", dim=5, kernel=4, stride=2, class_token=class_token))
    flow = Flow(3, (8, 6))
    torch.manual_seed(0)
    module = pattern.part(options, flow).build().double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    found = module(x)
    after = pattern.after(options, flow)
    assert (after.grid, after.extra, after.layout) == ((3, 2), int(class_token), "tokens")
    if class_token:
        assert torch.equal(found[:, :1], module.token.expand(2, 1, 5))
        found = found[:, 1:]
    for row in range(3):
        for column in range(2):
            patch = x[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
            wanted = torch.einsum("oikl,bikl->bo", module.conv.weight, patch) + module.conv.bias
            wanted = wanted + module.position[0, :, row, column]
            assert torch.allclose(found[:, 2 * row + column], wanted, atol=1e-12)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(("stride", "grid", "grid_after"), [(2, (5, 4), (3, 2)), (4, (5, 9), (2, 3))])
def test_every_channel_gives_several_and_the_class_token_has_its_own_layer(
    extra: int, stride: int, grid: tuple[int, int], grid_after: tuple[int, int]
) -> None:
    pattern, options = nested(Spec.of("pit_pooling", stride=stride))
    flow = Flow(3, grid, "tokens", target=6, extra=extra)
    torch.manual_seed(0)
    module = pattern.part(options, flow).build().double()
    x = torch.randn(2, extra + grid[0] * grid[1], 3, dtype=torch.float64)
    found = module(x)
    after = pattern.after(options, flow)
    assert (after.dim, after.grid, after.extra, after.scale) == (6, grid_after, extra, stride)
    if extra:
        assert torch.allclose(found[:, 0], x[:, 0] @ module.linear.weight.T + module.linear.bias, atol=1e-12)
        found = found[:, 1:]
    places, half = x[:, extra:].unflatten(1, grid), stride // 2
    for row in range(grid_after[0]):
        for column in range(grid_after[1]):
            for out in range(6):
                wanted = module.conv.bias[out].expand(2)
                for i in range(stride + 1):
                    for j in range(stride + 1):
                        at = row * stride + i - half, column * stride + j - half
                        if 0 <= at[0] < grid[0] and 0 <= at[1] < grid[1]:
                            wanted = wanted + module.conv.weight[out, 0, i, j] * places[:, *at, out // 2]
                assert torch.allclose(found[:, row * grid_after[1] + column, out], wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "side", "where"),
    [
        ({"kernel": 4, "stride": 8}, 32, "kernel"),
        ({"kernel": 16, "stride": 8}, 36, "stride"),
        ({"kernel": 16, "stride": 8}, 8, "stride"),
    ],
)
def test_patches_that_do_not_come_out_even_are_refused(options: dict[str, int], side: int, where: str) -> None:
    pattern, settled = nested(Spec.of("pit_embed", dim=8, **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(settled, Flow(3, (side, side)))
    assert caught.value.where == where


def test_a_width_that_is_no_multiple_is_refused() -> None:
    pattern, options = nested(Spec.of("pit_pooling"))
    with pytest.raises(DesignError, match="got the width 36 behind 24; expected a multiple"):
        pattern.after(options, Flow(24, (4, 4), "tokens", target=36))
