"""A channel mixer for maps that looks around first: depthwise convolution, then two 1 x 1 convolutions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, refuse_even, register
from gas.patterns.units import Activation, ConvNorm, activation, conv_cost, conv_norm_cost


class ConvFfn(nn.Module):
    """Depthwise convolution with batch norm, 1 x 1 convolution C -> hidden, activation, 1 x 1 convolution hidden -> C.

    Args:
        dim: Channels.
        hidden: Channels in between.
        kernel: Side of the depthwise convolution.
        act: Activation in between.
        bias: Whether the depthwise convolution has a bias beside the norm's.
    """

    last = "fc2"

    def __init__(self, dim: int, hidden: int, kernel: int, act: str, bias: bool) -> None:
        super().__init__()
        self.depthwise = ConvNorm(dim, dim, kernel, groups=dim, bias=bias)
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = activation(act)
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.fc2(self.act(self.fc1(self.depthwise(x))))


class ConvFfnOptions(Options):
    """Options of conv_ffn."""

    kernel: Annotated[int, Field(gt=0, description="side of the depthwise convolution, tokens (odd)")] = 7
    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width as a multiple of the block's width")] = 4.0
    act: Annotated[Activation, Field(description="activation in between")] = "gelu"
    bias: Annotated[bool, Field(description="the depthwise convolution has a bias beside the norm's")] = False


@register("conv_ffn")
class ConvFfnPattern(Pattern):
    """Depthwise convolution and batch norm in place of the norm before a feed-forward layer.

    Source: FastViT, arXiv 2303.14189, section 3.2.3, kernel 7. Kernel 3 with a bias, alone in a block, is the
    convolutional encoder of SwiftFormer, arXiv 2303.15446, section 3.3; with ratio 1, its local representation.
    """

    kind = "channel_mixer"
    Options = ConvFfnOptions

    def after(self, options: ConvFfnOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        hidden_width(flow.dim, options.ratio)
        return flow

    def cost(self, options: ConvFfnOptions, flow: Flow) -> Cost:
        """Depthwise convolution with its norm, two biased 1 x 1 convolutions."""
        hidden, grid, dim = hidden_width(flow.dim, options.ratio), flow.grid, flow.dim
        depthwise = conv_norm_cost(grid, dim, dim, options.kernel, groups=dim, bias=options.bias)
        return depthwise + conv_cost(grid, dim, hidden) + conv_cost(grid, hidden, dim)

    def part(self, options: ConvFfnOptions, flow: Flow) -> Part:
        """A ConvFfn."""
        args = {"kernel": options.kernel, "act": options.act, "bias": options.bias}
        return Part.of(ConvFfn, dim=flow.dim, hidden=hidden_width(flow.dim, options.ratio), **args)
