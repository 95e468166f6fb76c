from __future__ import annotations

from typing import Any

import pytest
import torch

from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow
from gas.patterns.layouts import FromWindows

PATTERN = PATTERNS.get("carrier_tokens")


def carrier_field(length: int, window: int, side: int, number: int) -> range:
    """Places along a side of the map that a carrier is the mean of."""
    carriers = length // window * side
    step = length // carriers
    return range(number * step, number * step + length - (carriers - 1) * step)


@pytest.mark.parametrize(("grid", "window", "side"), [((14, 14), 7, 2), ((4, 8), 4, 3), ((6, 9), 3, 1), ((5, 5), 5, 5)])
def test_carriers_are_means_of_fields_and_stand_before_their_window(
    grid: tuple[int, int], window: int, side: int
) -> None:
    flow = Flow(3, grid, target=3)
    options = PATTERN.Options(window=window, side=side)
    module = PATTERN.part(options, flow).build()
    x = torch.randn(2, 3, *grid)
    with torch.inference_mode():
        got, convolved = module(x), module.conv(x)
    after = PATTERN.after(options, flow)
    assert got.shape == (2, *after.shape)
    got = got.unflatten(1, (grid[0] // window, grid[1] // window, -1))  # (B, rows, columns, carriers + tokens, C)
    for row in range(grid[0] // window):
        for column in range(grid[1] // window):
            for number in range(side * side):
                down = carrier_field(grid[0], window, side, row * side + number // side)
                right = carrier_field(grid[1], window, side, column * side + number % side)
                wanted = convolved[:, :, down][:, :, :, right].mean((2, 3))
                torch.testing.assert_close(got[:, row, column, number], wanted)
            for number in range(window * window):
                here = x[:, :, row * window + number // window, column * window + number % window]
                assert torch.equal(got[:, row, column, side * side + number], here)


def test_without_carriers_the_map_is_only_cut() -> None:
    flow = Flow(3, (4, 8), target=3)
    module = PATTERN.part(PATTERN.Options(window=2, side=0), flow).build()
    x = torch.randn(2, 3, 4, 8)
    assert not list(module.parameters())
    assert torch.equal(FromWindows((4, 8), 2)(module(x)), x.flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    ("options", "flow", "problem"),
    [
        ({"window": 7}, Flow(4, (14, 16), target=4), r"window: got 7; expected a divisor of the grid's side 16"),
        ({"window": 2, "side": 3}, Flow(4, (4, 4), target=4), "side: got 3; expected at most the window's side 2"),
        ({"window": 2, "kernel": 2}, Flow(4, (4, 4), target=4), "kernel: got 2; expected an odd number"),
        ({"window": 2}, Flow(4, (4, 4), target=8), "keeps the width"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict[str, Any], flow: Flow, problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        PATTERN.after(PATTERN.Options(**options), flow)
