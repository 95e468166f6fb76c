"""Average pooling over neighbouring tokens: a token mixer without parameters."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, register


class Pooling(nn.Module):
    """Each token becomes the mean of its neighbours less itself."""

    def __init__(self, grid: tuple[int, int], side: int) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.pool = nn.AvgPool2d(side, stride=1, padding=side // 2, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        y = x.transpose(1, 2).unflatten(2, self.grid)  # (B, C, H, W)
        return self.pool(y).flatten(2).transpose(1, 2) - x  # (B, N, C)


class PoolingOptions(Options):
    """Options of example_pooling."""

    side: Annotated[int, Field(gt=0, description="side of the neighbourhood in tokens (odd)")] = 3


@register("example_pooling")
class PoolingPattern(Pattern):
    """Mean of the neighbours less the token itself.

    Source: PoolFormer, arXiv 2111.11418, section 3.
    """

    kind = "token_mixer"
    Options = PoolingOptions

    def reads(self, options: PoolingOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def after(self, options: PoolingOptions, flow: Flow) -> Flow:
        """Shapes stay; it neither widens nor pools."""
        if options.side % 2 == 0:
            raise DesignError("side", f"got {options.side}; expected an odd number")
        if flow.dim != flow.target or flow.pool > 1:
            raise DesignError("", "pooling can neither change the width nor carry out a Q-pooling")
        return flow.but(lag=False, scope=None)

    def cost(self, options: PoolingOptions, flow: Flow) -> Cost:
        """Nothing is multiplied by learned numbers."""
        return Cost()

    def part(self, options: PoolingOptions, flow: Flow) -> Part:
        """A Pooling."""
        return Part.of(Pooling, grid=flow.grid, side=options.side)
