"""Attention's frame with a grouped convolution in its place: heads that look at their neighbours."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, mixed, refuse_even, register
from gas.patterns.units import Activation, ConvNorm, conv_cost, conv_norm_cost


class ConvAttention(nn.Module):
    """Convolution within each head, batch norm, activation; a 1 x 1 convolution joins the heads.

    Args:
        dim: Channels.
        heads: Groups of the convolution.
        kernel: Its side.
        act: The activation.
    """

    last = "proj"

    def __init__(self, dim: int, heads: int, kernel: int, act: str) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim, kernel, groups=heads, act=act)
        self.proj = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.proj(self.conv(x))


class ConvAttentionOptions(Options):
    """Options of conv_attention."""

    head_dim: Annotated[int, Field(gt=0, description="channels per head; divides the width"), Width()] = 32
    kernel: Annotated[int, Field(gt=0, description="side of the convolution, tokens (odd)")] = 3
    act: Annotated[Activation, Field(description="activation before the 1 x 1 convolution")] = "relu"


@register("conv_attention")
class ConvAttentionPattern(Pattern):
    """Multi-head convolutional attention: a grouped convolution and a 1 x 1 convolution, in place of softmax attention.

    Source: Next-ViT, arXiv 2207.05501, section 3.2.
    """

    kind = "token_mixer"
    Options = ConvAttentionOptions

    def after(self, options: ConvAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        if flow.dim % options.head_dim:
            raise DesignError("head_dim", f"got {options.head_dim}; expected a divisor of the width {flow.dim}")
        return mixed(flow)

    def cost(self, options: ConvAttentionOptions, flow: Flow) -> Cost:
        """The convolution with its norm, the 1 x 1 convolution."""
        heads = flow.dim // options.head_dim
        total = conv_norm_cost(flow.grid, flow.dim, flow.dim, options.kernel, groups=heads)
        return total + conv_cost(flow.grid, flow.dim, flow.dim, bias=False)

    def part(self, options: ConvAttentionOptions, flow: Flow) -> Part:
        """A ConvAttention."""
        heads = flow.dim // options.head_dim
        return Part.of(ConvAttention, dim=flow.dim, heads=heads, kernel=options.kernel, act=options.act)
