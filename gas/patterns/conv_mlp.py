"""The channel mixer of convolutional blocks: two 1 x 1 convolutions, with batch norms where wanted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, register
from gas.patterns.units import Activation, ConvNorm, activation, conv_cost, conv_norm_cost


class ConvMlp(nn.Module):
    """1 x 1 convolution C -> hidden, activation, 1 x 1 convolution hidden -> C, each biased or with a batch norm.

    Args:
        dim: Channels.
        hidden: Channels in between.
        act: Activation in between.
        norm: Batch norms in place of biases.
    """

    first, last = "fc1", "fc2"

    def __init__(self, dim: int, hidden: int, act: str, norm: bool) -> None:
        super().__init__()
        self.fc1 = ConvNorm(dim, hidden) if norm else nn.Conv2d(dim, hidden, 1)
        self.act = activation(act)
        self.fc2 = ConvNorm(hidden, dim) if norm else nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.fc2(self.act(self.fc1(x)))


class ConvMlpOptions(Options):
    """Options of conv_mlp."""

    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width as a multiple of the block's width")] = 4.0
    act: Annotated[Activation, Field(description="activation in between")] = "gelu"
    norm: Annotated[bool, Field(description="batch norms in place of biases")] = True


@register("conv_mlp")
class ConvMlpPattern(Pattern):
    """The transformer's channel mixer for maps.

    Source: with batch norms, EfficientViT, arXiv 2305.07027, section 3.2, and LeViT, arXiv 2104.01136; with biases,
    SwiftFormer, arXiv 2303.15446, section 3.2, and MobileViTv2, arXiv 2206.02680.
    """

    kind = "channel_mixer"
    Options = ConvMlpOptions

    def after(self, options: ConvMlpOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        hidden_width(flow.dim, options.ratio)
        return flow

    def cost(self, options: ConvMlpOptions, flow: Flow) -> Cost:
        """Two 1 x 1 convolutions."""
        hidden, of = hidden_width(flow.dim, options.ratio), conv_norm_cost if options.norm else conv_cost
        return of(flow.grid, flow.dim, hidden) + of(flow.grid, hidden, flow.dim)

    def part(self, options: ConvMlpOptions, flow: Flow) -> Part:
        """A ConvMlp."""
        hidden = hidden_width(flow.dim, options.ratio)
        return Part.of(ConvMlp, dim=flow.dim, hidden=hidden, act=options.act, norm=options.norm)
