"""Two convolutions over all channels as token mixer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, mixed, refuse_even, register
from gas.patterns.units import Activation, ConvNorm, conv_norm_cost


class DoubleConv(nn.Module):
    """Convolution, batch norm, activation, convolution, batch norm.

    Args:
        dim: Channels.
        hidden: Channels in between.
        kernel: Side of both convolutions.
        groups: Their groups.
        act: Activation in between.
        bias: Whether they have biases beside the norms'.
    """

    last = "conv2"

    def __init__(self, dim: int, hidden: int, kernel: int, groups: int, act: str, bias: bool) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, hidden, kernel, groups=groups, act=act, bias=bias)
        self.conv2 = ConvNorm(hidden, dim, kernel, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.conv2(self.conv1(x))


class DoubleConvOptions(Options):
    """Options of double_conv."""

    kernel: Annotated[int, Field(gt=0, description="side of both convolutions, tokens (odd)")] = 3
    ratio: Annotated[float, Field(gt=0, le=16, description="channels in between as a multiple of the width")] = 1.0
    groups: Annotated[int, Field(gt=0, description="groups of both; divide the width and the channels between")] = 1
    act: Annotated[Activation, Field(description="activation in between")] = "gelu"
    bias: Annotated[bool, Field(description="the convolutions have biases beside the norms'")] = False


@register("double_conv")
class DoubleConvPattern(Pattern):
    """The branch of a residual block of convolutions that are not depthwise: many multiply-adds, few operations.

    Alone in a block without a norm before it, it is the classic residual block with nothing behind the sum.

    Source: ResNet, arXiv 1512.03385, section 3.3; with a GELU and biases, stages 1 and 2 of FasterViT, arXiv
    2306.06189, section 3.2, and its public code.
    """

    kind = "token_mixer"
    Options = DoubleConvOptions

    def after(self, options: DoubleConvOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        hidden = int(flow.dim * options.ratio)
        refuse_even(options.kernel)
        if hidden < 1:
            raise DesignError("ratio", f"got {options.ratio}; expected one that leaves at least 1 channel in between")
        if flow.dim % options.groups or hidden % options.groups:
            text = (
                f"got {options.groups}; expected a divisor of the width {flow.dim} and of the {hidden} channels between"
            )
            raise DesignError("groups", text)
        return mixed(flow)

    def cost(self, options: DoubleConvOptions, flow: Flow) -> Cost:
        """Two convolutions with their norms."""
        hidden, more = int(flow.dim * options.ratio), {"groups": options.groups, "bias": options.bias}
        there = conv_norm_cost(flow.grid, flow.dim, hidden, options.kernel, **more)
        return there + conv_norm_cost(flow.grid, hidden, flow.dim, options.kernel, **more)

    def part(self, options: DoubleConvOptions, flow: Flow) -> Part:
        """A DoubleConv."""
        args = {"kernel": options.kernel, "groups": options.groups, "act": options.act, "bias": options.bias}
        return Part.of(DoubleConv, dim=flow.dim, hidden=int(flow.dim * options.ratio), **args)
