"""A channel mixer whose 1 x 1 convolutions are trained as sums of grouped ones, and are single ones afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, register
from gas.patterns.folding import conv_from
from gas.patterns.units import Activation, ConvNorm, activation, conv_norm_cost


class MultiGroupConv(nn.Module):
    """Sum of 1 x 1 convolutions with different groups, each with a batch norm.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        groups: Groups of each convolution; each number divides both.
    """

    def __init__(self, dim: int, dim_out: int, groups: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvNorm(dim, dim_out, groups=each) for each in groups])

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H, W)."""
        first, *others = self.branches
        y = first(x)
        for branch in others:
            y = y + branch(x)
        return y

    def folded(self) -> nn.Module:
        """One biased convolution: a grouped one is a whole one whose blocks off the diagonal are 0."""
        weight: Tensor | int = 0
        for conv in self.branches:
            blocks = conv.weight.detach()[:, :, 0, 0].chunk(conv.groups)
            weight = weight + torch.block_diag(*blocks)
        return conv_from(weight[:, :, None, None], sum(conv.bias.detach() for conv in self.branches))


class MultiGroupMlp(nn.Module):
    """Sum of grouped convolutions C -> hidden, activation, sum of grouped convolutions hidden -> C.

    Args:
        dim: Channels.
        hidden: Channels in between.
        groups: Groups of the convolutions of either sum.
        act: Activation in between.
    """

    first, last = "fc1", "fc2"

    def __init__(self, dim: int, hidden: int, groups: Sequence[int], act: str) -> None:
        super().__init__()
        self.fc1 = MultiGroupConv(dim, hidden, groups)
        self.act = activation(act)
        self.fc2 = MultiGroupConv(hidden, dim, groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.fc2(self.act(self.fc1(x)))


class MultiGroupMlpOptions(Options):
    """Options of multi_group_mlp."""

    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width as a multiple of the block's width")] = 4.0
    groups: Annotated[
        tuple[int, ...], Field(min_length=1, description="groups of each convolution of a sum; divide both widths")
    ] = (1, 2, 4)
    act: Annotated[Activation, Field(description="activation in between")] = "relu"


@register("multi_group_mlp")
class MultiGroupMlpPattern(Pattern):
    """Two layers, each a sum over several numbers of groups in training and one dense layer in inference.

    Source: the abstract of FMViT, arXiv 2311.05707, which names "Convolutional Multigroup Reparameterization (gMLP)"
    and no more. Differs: unknown; that a layer is a sum of grouped convolutions with batch norms is our reading of the
    name, and the groups are our choice.
    """

    kind = "channel_mixer"
    Options = MultiGroupMlpOptions

    def after(self, options: MultiGroupMlpOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        hidden = hidden_width(flow.dim, options.ratio)
        for each in options.groups:
            if each < 1 or flow.dim % each or hidden % each:
                raise DesignError(
                    "groups", f"got {each}; expected divisors of the width {flow.dim} and the hidden width {hidden}"
                )
        return flow

    def cost(self, options: MultiGroupMlpOptions, flow: Flow) -> Cost:
        """All convolutions with their norms."""
        hidden, total = hidden_width(flow.dim, options.ratio), Cost()
        for each in options.groups:
            total += conv_norm_cost(flow.grid, flow.dim, hidden, groups=each)
            total += conv_norm_cost(flow.grid, hidden, flow.dim, groups=each)
        return total

    def part(self, options: MultiGroupMlpOptions, flow: Flow) -> Part:
        """A MultiGroupMlp."""
        hidden = hidden_width(flow.dim, options.ratio)
        return Part.of(MultiGroupMlp, dim=flow.dim, hidden=hidden, groups=options.groups, act=options.act)
