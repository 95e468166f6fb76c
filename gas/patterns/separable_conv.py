"""An inverted separable convolution as token mixer: widen, convolve each channel alone, narrow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, mixed, refuse_even, register
from gas.patterns.units import Activation, activation, conv_cost


class SeparableConv(nn.Module):
    """1 x 1 convolution C -> hidden, depthwise convolution, 1 x 1 convolution hidden -> C, an activation among them.

    Args:
        dim: Channels.
        hidden: Channels in between.
        kernel: Side of the depthwise convolution.
        act: The activation.
        act_first: It stands before the depthwise convolution, not behind it.
        bias: Whether the convolutions have biases.
    """

    first, last = "widen", "narrow"

    def __init__(self, dim: int, hidden: int, kernel: int, act: str, act_first: bool, bias: bool) -> None:
        super().__init__()
        self.widen = nn.Conv2d(dim, hidden, 1, bias=bias)
        self.before = activation(act if act_first else "none")
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=bias)
        self.behind = activation("none" if act_first else act)
        self.narrow = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.narrow(self.behind(self.depthwise(self.before(self.widen(x)))))


class SeparableConvOptions(Options):
    """Options of separable_conv."""

    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width as a multiple of the width")] = 2.0
    kernel: Annotated[int, Field(gt=0, description="side of the depthwise convolution, tokens (odd)")] = 7
    act: Annotated[Activation, Field(description="activation behind the depthwise convolution")] = "gelu"
    act_first: Annotated[bool, Field(description="the activation stands before the depthwise convolution")] = False
    bias: Annotated[bool, Field(description="the convolutions have biases")] = False


@register("separable_conv")
class SeparableConvPattern(Pattern):
    """1 x 1, depthwise, 1 x 1, without norms.

    Source: MobileNetV2, arXiv 1801.04381, section 3.2, as token mixer: MetaFormer baselines, arXiv 2210.13452, section
    3 (`act_first`); the activation behind the depthwise convolution: ParFormer, arXiv 2403.15004, and its public code.
    """

    kind = "token_mixer"
    Options = SeparableConvOptions

    def after(self, options: SeparableConvOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        hidden_width(flow.dim, options.ratio)
        return mixed(flow)

    def cost(self, options: SeparableConvOptions, flow: Flow) -> Cost:
        """Three convolutions."""
        grid, dim, hidden = flow.grid, flow.dim, hidden_width(flow.dim, options.ratio)
        total = conv_cost(grid, dim, hidden, bias=options.bias) + conv_cost(grid, hidden, dim, bias=options.bias)
        return total + conv_cost(grid, hidden, hidden, options.kernel, groups=hidden, bias=options.bias)

    def part(self, options: SeparableConvOptions, flow: Flow) -> Part:
        """A SeparableConv."""
        args = options.model_dump(exclude={"ratio"})
        return Part.of(SeparableConv, dim=flow.dim, hidden=hidden_width(flow.dim, options.ratio), **args)
