"""EfficientMod's mixer: a context from a large convolution weighs the value at every place."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, mixed, refuse_even, register
from gas.patterns.units import Activation, activation, conv_cost


class EfficientModulation(nn.Module):
    """proj(value(x) * context(x)), the context repeated for each of the value's `ratio` groups of C channels.

    Args:
        dim: Channels.
        ratio: Width of the value, in multiples of `dim`.
        kernel: Side of the context's depthwise convolution.
        act: Activation of the context, and of the value where it is wider than the input.
    """

    last = "proj"

    def __init__(self, dim: int, ratio: int, kernel: int, act: str) -> None:
        super().__init__()
        self.ratio = ratio
        self.context = nn.Sequential(
            nn.Conv2d(dim, dim, 1),
            nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim),
            activation(act),
            nn.Conv2d(dim, dim, 1),
        )
        self.value = nn.Conv2d(dim, ratio * dim, 1)
        self.act = activation(act if ratio > 1 else "none")
        self.proj = nn.Conv2d(ratio * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        context, value = self.context(x), self.act(self.value(x))  # (B, C, H, W), (B, ratio*C, H, W)
        if self.ratio > 1:
            value = value.unflatten(1, (self.ratio, -1))  # (B, ratio, C, H, W)
            return self.proj((value * context.unsqueeze(1)).flatten(1, 2))
        return self.proj(value * context)


class EfficientModulationOptions(Options):
    """Options of efficient_modulation."""

    ratio: Annotated[int, Field(ge=1, le=16, description="width of the value as a multiple of the block's width")] = 4
    kernel: Annotated[int, Field(gt=0, description="side of the context's convolution, tokens (odd)")] = 7
    act: Annotated[
        Activation, Field(description="activation of the context, and of the value where ratio is above 1")
    ] = "gelu"


@register("efficient_modulation")
class EfficientModulationPattern(Pattern):
    """Context (1 x 1, depthwise, activation, 1 x 1) times value (1 x 1, activation), then 1 x 1: token and channel
    mixer in one, so a block needs no other.

    Source: EfficientMod, arXiv 2403.19963, section 3.2; no activation on a value that is as wide as the input: its
    public code.
    """

    kind = "token_mixer"
    Options = EfficientModulationOptions

    def after(self, options: EfficientModulationOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        return mixed(flow)

    def cost(self, options: EfficientModulationOptions, flow: Flow) -> Cost:
        """Four biased 1 x 1 convolutions and a depthwise one; the product is elementwise."""
        grid, dim, wide = flow.grid, flow.dim, options.ratio * flow.dim
        context = conv_cost(grid, dim, dim) * 2 + conv_cost(grid, dim, dim, options.kernel, groups=dim)
        return context + conv_cost(grid, dim, wide) + conv_cost(grid, wide, dim)

    def part(self, options: EfficientModulationOptions, flow: Flow) -> Part:
        """An EfficientModulation."""
        args = {"ratio": options.ratio, "kernel": options.kernel, "act": options.act}
        return Part.of(EfficientModulation, dim=flow.dim, **args)
