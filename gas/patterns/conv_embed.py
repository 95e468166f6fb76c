"""Convolutional patch embedding with an optional learned position embedding: the stem of Hiera and TurboViT."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, register


class ConvEmbed(nn.Module):
    """One convolution that cuts the image into overlapping patches; tokens come out, row by row.

    Args:
        channels: Image channels.
        dim: Width of the tokens.
        kernel: Side of the convolution.
        stride: Step of the convolution; the grid is the image side divided by it.
        grid: (H, W) of the position embedding; None for none.
    """

    def __init__(self, channels: int, dim: int, kernel: int, stride: int, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, kernel, stride, padding=kernel // 2)
        self.position = None if grid is None else nn.Parameter(torch.zeros(1, grid[0] * grid[1], dim))
        if self.position is not None:
            nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H*stride, W*stride) -> (B, N, C)."""
        x = self.conv(x).flatten(2).transpose(1, 2)  # (B, N, C)
        return x if self.position is None else x + self.position


class ConvEmbedOptions(Options):
    """Options of conv_embed."""

    dim: Annotated[int, Field(gt=0, description="width of the tokens"), Width()]
    kernel: Annotated[int, Field(gt=0, description="side of the convolution, pixels (odd)")] = 7
    stride: Annotated[int, Field(gt=0, description="step of the convolution, pixels")] = 4
    position: Annotated[Literal["learned", "none"], Field(description="position embedding added to the tokens")] = (
        "learned"
    )


@register("conv_embed")
class ConvEmbedPattern(Pattern):
    """Patch embedding by one biased convolution, no norm; a learned absolute position embedding is added.

    Source: Hiera, arXiv 2306.00989, and its public code: kernel 7, stride 4, padding 3.
    """

    kind = "stem"
    Options = ConvEmbedOptions

    def after(self, options: ConvEmbedOptions, flow: Flow) -> Flow:
        """The grid is the image side divided by the stride."""
        if options.kernel % 2 == 0:
            raise DesignError("kernel", f"got {options.kernel}; expected an odd number")
        for side in flow.grid:
            if side % options.stride:
                raise DesignError("stride", f"got {options.stride}; expected a divisor of the resolution {side}")
        grid = (flow.grid[0] // options.stride, flow.grid[1] // options.stride)
        return flow.but(dim=options.dim, grid=grid, layout="tokens")

    def cost(self, options: ConvEmbedOptions, flow: Flow) -> Cost:
        """Convolution with bias, and the position embedding."""
        tokens = self.after(options, flow).tokens
        weights = flow.dim * options.kernel**2 * options.dim
        position = tokens * options.dim * (options.position == "learned")
        return Cost(tokens * weights, weights + options.dim + position)

    def part(self, options: ConvEmbedOptions, flow: Flow) -> Part:
        """A ConvEmbed."""
        grid = self.after(options, flow).grid if options.position == "learned" else None
        return Part.of(
            ConvEmbed, channels=flow.dim, dim=options.dim, kernel=options.kernel, stride=options.stride, grid=grid
        )
