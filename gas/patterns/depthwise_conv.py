"""A depthwise convolution as token mixer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, mixed, refuse_even, register
from gas.patterns.units import ConvNorm, conv_cost, conv_norm_cost


class DepthwiseConvOptions(Options):
    """Options of depthwise_conv."""

    kernel: Annotated[int, Field(gt=0, description="side of the convolution, tokens (odd)")] = 3
    norm: Annotated[bool, Field(description="a batch norm behind it; it then has no bias of its own")] = True


@register("depthwise_conv")
class DepthwiseConvPattern(Pattern):
    """Each channel is convolved alone; with its norm it folds into one convolution, the shortcut included.

    Source: the local token interaction of EfficientViT (arXiv 2305.07027, section 3.2) and SHViT (arXiv 2401.16456);
    with a bias and no norm, the local perception unit of CMT, arXiv 2107.06263, section 3.2.
    """

    kind = "token_mixer"
    Options = DepthwiseConvOptions

    def after(self, options: DepthwiseConvOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        return mixed(flow)

    def cost(self, options: DepthwiseConvOptions, flow: Flow) -> Cost:
        """One filter per channel."""
        of = conv_norm_cost if options.norm else conv_cost
        return of(flow.grid, flow.dim, flow.dim, options.kernel, groups=flow.dim)

    def part(self, options: DepthwiseConvOptions, flow: Flow) -> Part:
        """A ConvNorm, or a convolution."""
        dim, kernel = flow.dim, options.kernel
        if options.norm:
            return Part.of(ConvNorm, dim=dim, dim_out=dim, kernel=kernel, groups=dim)
        return Part.of(
            nn.Conv2d, in_channels=dim, out_channels=dim, kernel_size=kernel, padding=kernel // 2, groups=dim
        )
