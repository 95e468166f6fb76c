from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.layouts import FromWindows, Reroll, ToMap, ToTokens, Unroll, converted, refuse_conversion

GRIDS = [((8, 8), 0), ((8, 8), 1), ((8, 8), 3), ((4, 12), 2), ((16, 8), 3), ((6, 10), 1)]


def by_definition(grid: tuple[int, int], groups: int) -> list[int]:
    """Token numbers in unrolled order: sorted by place in the group, place of that in the next group, ..., unit."""

    def index(token: int) -> tuple[int, ...]:
        row, column = divmod(token, grid[1])
        places = []
        for _ in range(groups):
            places.append(2 * (row % 2) + column % 2)
            row, column = row // 2, column // 2
        return (*places, row, column)

    return sorted(range(grid[0] * grid[1]), key=index)


@pytest.mark.parametrize(("grid", "groups"), GRIDS)
def test_unroll_is_the_order_of_its_definition(grid: tuple[int, int], groups: int) -> None:
    assert Unroll(grid, groups).order.tolist() == by_definition(grid, groups)


@pytest.mark.parametrize(("grid", "groups"), GRIDS)
def test_reroll_undoes_unroll(grid: tuple[int, int], groups: int) -> None:
    x = torch.randn(2, grid[0] * grid[1], 3)
    assert torch.equal(Reroll(grid, groups)(Unroll(grid, groups)(x)), x)
    assert torch.equal(Unroll(grid, groups)(Reroll(grid, groups)(x)), x)


@pytest.mark.parametrize("grid", [(3, 5), (8, 4)])
def test_tokens_and_map_are_inverse(grid: tuple[int, int]) -> None:
    x = torch.randn(2, 7, *grid)
    tokens = ToTokens()(x)
    assert torch.equal(tokens[:, 1], x[:, :, 0, 1])  # row by row
    assert torch.equal(ToMap(grid)(tokens), x)


@pytest.mark.parametrize("poolings", [1, 2, 3])
def test_pooling_the_leading_quarter_is_pooling_the_map(poolings: int) -> None:
    grid, groups = (16, 24), 3
    x = torch.randn(2, 5, *grid)
    tokens = Unroll(grid, groups)(ToTokens()(x))
    for done in range(1, poolings + 1):
        tokens = tokens.unflatten(1, (4, -1)).amax(dim=1)
        x = F.max_pool2d(x, 2)
        here = (grid[0] >> done, grid[1] >> done)
        assert torch.equal(ToMap(here)(Reroll(here, groups - done)(tokens)), x)


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_a_unit_is_the_leading_part_of_the_index(side: int) -> None:
    grid, groups = (16, 8), 3
    x = torch.arange(128.0).view(1, 1, *grid)
    tokens = Unroll(grid, groups)(ToTokens()(x)).flatten()
    units = tokens.view(side * side, -1).T  # (units, tokens of a unit)
    expected = x[0, 0].unfold(0, side, side).unfold(1, side, side).reshape(-1, side * side)
    assert sorted(map(sorted, units.tolist())) == sorted(map(sorted, expected.tolist()))


def test_conversions_hold_no_weights_and_follow_the_module() -> None:
    module = Unroll((4, 4), 2)
    assert not module.state_dict()
    assert module.to("meta").order.device.type == "meta"


@pytest.mark.parametrize(("window", "extra"), [(2, 0), (2, 3), (4, 1)])
def test_windows_go_back_to_their_places_without_their_carriers(window: int, extra: int) -> None:
    grid = (4, 8)
    tokens = torch.randn(2, 32, 5)
    windows = []
    for top in range(0, grid[0], window):
        for left in range(0, grid[1], window):
            rows = [tokens[:, r * grid[1] + c] for r in range(top, top + window) for c in range(left, left + window)]
            windows += [torch.full((2, 5), 9.0)] * extra + rows
    given = torch.stack(windows, dim=1)
    assert given.shape[1] == Flow(5, grid, "windows", extra=extra, window=window).tokens
    assert torch.equal(FromWindows(grid, window, extra)(given), tokens)


def test_a_map_has_no_place_for_the_class_token() -> None:
    x = torch.randn(2, 7, 3, 4)
    tokens = torch.cat([torch.zeros(2, 1, 7), ToTokens()(x)], dim=1)
    assert torch.equal(ToMap((3, 4), extra=1)(tokens), x)


@pytest.mark.parametrize(
    ("flow", "target", "problem"),
    [
        (Flow(4, (1, 5), "set", extra=1), "map", "tokens have been pruned"),
        (Flow(4, (2, 2), "map"), "windows", "which the part before it has to make; got map"),
        (Flow(4, (2, 2), "tokens", extra=1), "map", "a class token stands before the tokens"),
    ],
)
def test_conversions_that_would_lose_something_are_refused(flow: Flow, target: str, problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        refuse_conversion(flow, target)
    refuse_conversion(flow, flow.layout)


def test_what_is_converted_has_no_windows_and_no_carriers() -> None:
    flow = Flow(4, (4, 4), "windows", extra=2, window=2)
    refuse_conversion(flow, "tokens")
    assert converted(flow, "tokens") == Flow(4, (4, 4), "tokens")
    assert converted(flow, "windows") is flow
