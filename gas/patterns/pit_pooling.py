"""A stage is entered by PiT's pooling: a depthwise convolution for the tokens, a linear layer for the class token."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, linear_cost, register
from gas.patterns.units import conv_cost, strided


class PitPooling(nn.Module):
    """Strided depthwise convolution, in which each channel gives several; class tokens go through a linear layer.

    Args:
        dim: Channels read.
        dim_out: Channels written, a multiple of them.
        grid: (H, W) before.
        stride: Step of the convolution, even; its side is one more.
        extra: Class tokens before the others.
    """

    def __init__(self, dim: int, dim_out: int, grid: tuple[int, int], stride: int, extra: int) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.extra = extra
        self.conv = nn.Conv2d(dim, dim_out, stride + 1, stride, stride // 2, groups=dim)
        self.linear = nn.Linear(dim, dim_out) if extra else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, extra + H*W, dim) -> (B, extra + H*W / stride**2, dim_out), sides rounded up."""
        places = x[:, self.extra :].transpose(1, 2).unflatten(2, self.grid)  # (B, dim, H, W)
        y = self.conv(places).flatten(2).transpose(1, 2)  # (B, H*W / stride**2, dim_out)
        return y if self.linear is None else torch.cat([self.linear(x[:, : self.extra]), y], dim=1)


class PitPoolingOptions(Options):
    """Options of pit_pooling."""

    stride: Annotated[int, Field(gt=0, multiple_of=2, description="step of the convolution, tokens (even)")] = 2


@register("pit_pooling")
class PitPoolingPattern(Pattern):
    """Depthwise convolution with channel doubling (or more), and a linear layer that keeps the class token in step.

    A grid of side s becomes ceil(s / stride).

    Source: PiT, arXiv 2103.16302, section 3.1 and figure 3, and its public code.
    """

    kind = "entry"
    Options = PitPoolingOptions
    class_tokens = True

    def reads(self, options: PitPoolingOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def after(self, options: PitPoolingOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        if flow.target % flow.dim:
            text = f"got the width {flow.target} behind {flow.dim}; expected a multiple, as each channel gives several"
            raise DesignError("", text)
        grid = strided(flow.grid, options.stride)
        return flow.but(dim=flow.target, grid=grid, scale=flow.scale * options.stride)

    def cost(self, options: PitPoolingOptions, flow: Flow) -> Cost:
        """Depthwise convolution, and the class tokens' linear layer where there are any."""
        grid = strided(flow.grid, options.stride)
        total = conv_cost(grid, flow.dim, flow.target, options.stride + 1, groups=flow.dim)
        return total + linear_cost(flow.extra, flow.dim, flow.target) if flow.extra else total

    def part(self, options: PitPoolingOptions, flow: Flow) -> Part:
        """A PitPooling."""
        args = {"dim": flow.dim, "dim_out": flow.target, "grid": flow.grid, "extra": flow.extra}
        return Part.of(PitPooling, **args, stride=options.stride)
