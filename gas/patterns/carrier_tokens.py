"""The map is cut into windows, each of which gets carrier tokens: a coarse picture of itself."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, mixed, refuse_even, register
from gas.patterns.units import conv_cost


class CarrierTokens(nn.Module):
    """Windows of a map, each with carriers before its tokens: the map convolved, then pooled.

    Args:
        dim: Channels.
        grid: (H, W) of the map.
        window: Side of a window; divides both.
        side: Carriers along a side of a window; 0 for none.
        kernel: Side of the depthwise convolution.
    """

    def __init__(self, dim: int, grid: tuple[int, int], window: int, side: int, kernel: int) -> None:
        super().__init__()
        self.window = window
        self.side = side
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim) if side else None
        # As many steps as there are carriers, as wide as they can be; the last field ends where the map does.
        carriers = [length // window * side for length in grid]
        self.stride = [length // max(count, 1) for length, count in zip(grid, carriers, strict=True)]
        self.field = [
            length - (count - 1) * step for length, count, step in zip(grid, carriers, self.stride, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, windows * (side**2 + window**2), C)."""
        tokens = _windows(x, self.window)
        if self.conv is not None:
            pooled = F.avg_pool2d(self.conv(x), self.field, self.stride)  # (B, C, H / window * side, W / window * side)
            tokens = torch.cat([_windows(pooled, self.side), tokens], dim=2)
        return tokens.flatten(1, 2)


def _windows(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, windows, side**2, C)."""
    x = x.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (B, C, rows, side, columns, side)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)


class CarrierTokensOptions(Options):
    """Options of carrier_tokens."""

    window: Annotated[int, Field(gt=0, description="side of a window, tokens; divides the grid")] = 7
    side: Annotated[int, Field(ge=0, description="carriers along a side of a window; 0 for windows without any")] = 2
    kernel: Annotated[int, Field(gt=0, description="side of the convolution before the pooling, tokens (odd)")] = 3


@register("carrier_tokens")
class CarrierTokensPattern(Pattern):
    """Makes windows with carriers out of a map, for the blocks behind it; it stands once, at the head of a stage.

    A depthwise convolution and an average pooling give each window its carriers.

    Source: FasterViT, arXiv 2306.06189, section 3.3, "Carrier tokens"; the size and the step of the pooling are those
    of its public code.
    """

    kind = "block"
    Options = CarrierTokensOptions

    def after(self, options: CarrierTokensOptions, flow: Flow) -> Flow:
        """Windows."""
        refuse_even(options.kernel)
        for length in flow.grid:
            if length % options.window:
                raise DesignError("window", f"got {options.window}; expected a divisor of the grid's side {length}")
        if options.side > options.window:
            raise DesignError("side", f"got {options.side}; expected at most the window's side {options.window}")
        return mixed(flow).but(layout="windows", window=options.window, extra=options.side**2)

    def cost(self, options: CarrierTokensOptions, flow: Flow) -> Cost:
        """The convolution."""
        return conv_cost(flow.grid, flow.dim, flow.dim, options.kernel, groups=flow.dim) * bool(options.side)

    def part(self, options: CarrierTokensOptions, flow: Flow) -> Part:
        """A CarrierTokens."""
        return Part.of(CarrierTokens, dim=flow.dim, grid=flow.grid, **options.model_dump())
