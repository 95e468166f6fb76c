"""A stage is entered by joining neighbouring tokens and projecting them together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, linear_cost, norm_cost, register


class PatchMerging(nn.Module):
    """The channels of stride x stride neighbours side by side, layer norm, linear layer without bias.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        grid: (H, W) before.
        stride: Side of the square that is joined.
        eps: Of the norm.
    """

    last = "reduction"

    def __init__(self, dim: int, dim_out: int, grid: tuple[int, int], stride: int, eps: float) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.stride = stride
        self.norm = nn.LayerNorm(dim * stride**2, eps=eps)
        self.reduction = nn.Linear(dim * stride**2, dim_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H*W, C) -> (B, H*W / stride**2, dim_out)."""
        x = x.unflatten(1, self.grid).unflatten(2, (-1, self.stride)).unflatten(1, (-1, self.stride))
        # The public code lists the neighbours column by column.
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3).flatten(1, 2)  # (B, H*W / stride**2, stride**2 * C)
        return self.reduction(self.norm(x))


class PatchMergingOptions(Options):
    """Options of patch_merging."""

    stride: Annotated[int, Field(gt=0, description="side of the square of tokens that become one")] = 2
    eps: Annotated[float, Field(gt=0, description="eps of the norm")] = 1e-5


@register("patch_merging")
class PatchMergingPattern(Pattern):
    """The tokens of each 2 x 2 square are joined, normed and projected to the new width.

    Source: Swin, arXiv 2103.14030, section 3.1. Differs: the public code pads a grid of odd sides; here it is refused.
    """

    kind = "entry"
    Options = PatchMergingOptions

    def reads(self, options: PatchMergingOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def after(self, options: PatchMergingOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        stride = options.stride
        for side in flow.grid:
            if side % stride:
                raise DesignError("stride", f"got {stride}; expected a divisor of the grid's side {side}")
        grid = (flow.grid[0] // stride, flow.grid[1] // stride)
        return flow.but(dim=flow.target, grid=grid, scale=flow.scale * stride)

    def cost(self, options: PatchMergingOptions, flow: Flow) -> Cost:
        """Norm and linear layer over the joined tokens."""
        joined = options.stride**2
        return norm_cost(joined * flow.dim) + linear_cost(
            flow.tokens // joined, joined * flow.dim, flow.target, bias=False
        )

    def part(self, options: PatchMergingOptions, flow: Flow) -> Part:
        """A PatchMerging."""
        args = {"dim": flow.dim, "dim_out": flow.target, "grid": flow.grid, "stride": options.stride}
        return Part.of(PatchMerging, **args, eps=options.eps)
