"""A channel mixer for maps with a depthwise convolution in its middle."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, refuse_even, register
from gas.patterns.folding import norm_into
from gas.patterns.units import Activation, ConvNorm, activation, conv_norm_cost, with_identity


class InvertedResidualMlp(nn.Module):
    """1 x 1 convolution C -> hidden, depthwise convolution, 1 x 1 convolution hidden -> C.

    Each has a batch norm, and the first two an activation.

    Args:
        dim: Channels.
        hidden: Channels in between.
        kernel: Side of the depthwise convolution.
        act: Activation behind the first two convolutions.
        norm_last: The norms of these two stand behind their activations.
        shortcut: What the depthwise convolution reads is added to what it gives, before the activation.
        bias: Whether the convolutions have biases.
    """

    first, last = "expand", "project"

    def __init__(
        self, dim: int, hidden: int, kernel: int, act: str, norm_last: bool, shortcut: bool, bias: bool
    ) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.act = activation(act)
        if norm_last:
            self.expand = nn.Conv2d(dim, hidden, 1, bias=bias)
            self.depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=bias)
        else:
            self.expand = ConvNorm(dim, hidden, bias=bias)
            self.depthwise = ConvNorm(hidden, hidden, kernel, groups=hidden, bias=bias)
        self.norm1 = nn.BatchNorm2d(hidden) if norm_last else nn.Identity()
        self.norm2 = nn.BatchNorm2d(hidden) if norm_last else nn.Identity()
        self.project = ConvNorm(hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = self.norm1(self.act(self.expand(x)))  # (B, hidden, H, W)
        y = self.depthwise(x)
        x = self.norm2(self.act(x + y if self.shortcut else y))
        return self.project(x)  # (B, C, H, W)

    def folded(self) -> nn.Module:
        """The shortcut goes into the depthwise convolution, the norm behind that into the last one.

        The norm before it stays: what it adds would have to be missing from the convolution's padding.
        """
        whole = with_identity(self.depthwise, nn.Identity()) if self.shortcut else None
        if whole is not None:
            self.depthwise, self.shortcut = whole, False
        self.norm2 = norm_into(self.norm2, self.project)
        return self


class InvertedResidualMlpOptions(Options):
    """Options of inverted_residual_mlp."""

    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width as a multiple of the block's width")] = 4.0
    kernel: Annotated[int, Field(gt=0, description="side of the depthwise convolution, tokens (odd)")] = 3
    act: Annotated[Activation, Field(description="activation behind the first two convolutions")] = "gelu"
    norm_last: Annotated[bool, Field(description="the norms of these two stand behind their activations")] = False
    shortcut: Annotated[bool, Field(description="a shortcut around the depthwise convolution")] = False
    bias: Annotated[bool, Field(description="the convolutions have biases beside the norms'")] = True


@register("inverted_residual_mlp")
class InvertedResidualMlpPattern(Pattern):
    """A feed-forward layer that looks at a token's neighbours while it is wide.

    Source: as it is by default, EfficientFormerV2, arXiv 2212.08059, section 3.1; with `norm_last` and `shortcut`, the
    inverted residual feed-forward network of CMT, arXiv 2107.06263, section 3.2, its norms where the public code has
    them.
    """

    kind = "channel_mixer"
    Options = InvertedResidualMlpOptions

    def after(self, options: InvertedResidualMlpOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        hidden_width(flow.dim, options.ratio)
        return flow

    def cost(self, options: InvertedResidualMlpOptions, flow: Flow) -> Cost:
        """Three convolutions, each with a norm."""
        hidden, bias = hidden_width(flow.dim, options.ratio), options.bias
        total = conv_norm_cost(flow.grid, flow.dim, hidden, bias=bias)
        total += conv_norm_cost(flow.grid, hidden, hidden, options.kernel, groups=hidden, bias=bias)
        return total + conv_norm_cost(flow.grid, hidden, flow.dim, bias=bias)

    def part(self, options: InvertedResidualMlpOptions, flow: Flow) -> Part:
        """An InvertedResidualMlp."""
        hidden = hidden_width(flow.dim, options.ratio)
        return Part.of(InvertedResidualMlp, dim=flow.dim, hidden=hidden, **options.model_dump(exclude={"ratio"}))
