"""Attention with one head, over a part of the channels."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, mixed, norm_cost, register
from gas.patterns.units import Activation, ConvNorm, NormKind, activation, conv_norm_cost, norm_part


class SingleHeadAttention(nn.Module):
    """The first channels attend over the map with one head; the others join them behind it.

    Args:
        dim: Channels.
        channels: How many of them attend.
        key_dim: Channels of queries and keys.
        norm: Of the channels that attend; None for none.
        act: Activation before the last convolution.
    """

    def __init__(self, dim: int, channels: int, key_dim: int, norm: nn.Module | None, act: str) -> None:
        super().__init__()
        self.parts = (channels, dim - channels)
        self.split = (key_dim, key_dim, channels)
        self.norm = nn.Identity() if norm is None else norm
        self.qkv = ConvNorm(channels, sum(self.split))
        self.act = activation(act)
        self.proj = ConvNorm(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        grid = x.shape[2:]
        x, rest = x.split(self.parts, dim=1)
        q, k, v = self.qkv(self.norm(x)).flatten(2).split(self.split, dim=1)  # (B, D, N)
        # Not scaled_dot_product_attention: it is slower with the channels first, and wants keys as wide as values.
        weights = torch.bmm(q.transpose(1, 2) * self.split[0] ** -0.5, k).softmax(-1)  # (B, N, N)
        x = torch.bmm(v, weights.transpose(1, 2)).unflatten(2, grid)  # (B, channels, H, W)
        if self.parts[1]:
            x = torch.cat([x, rest], dim=1)  # (B, C, H, W)
        return self.proj(self.act(x))


class SingleHeadAttentionOptions(Options):
    """Options of single_head_attention."""

    share: Annotated[float, Field(gt=0, le=1, description="share of the channels that attend, rounded")] = 0.214
    channels: (
        Annotated[int, Field(gt=0, description="how many channels attend; null for what share says"), Width()] | None
    ) = None
    key_dim: Annotated[int, Field(gt=0, description="channels of queries and keys"), Width()] = 16
    norm: Annotated[NormKind, Field(description="norm of the channels that attend")] = "group"
    act: Annotated[Activation, Field(description="activation before the last convolution")] = "relu"


@register("single_head_attention")
class SingleHeadAttentionPattern(Pattern):
    """One head over about a fifth of the channels; the last convolution mixes them with the others.

    Source: SHViT, arXiv 2401.16456, section 3.2; the partial ratio is 1 / 4.67, and to three digits it gives the
    channel counts of all variants of its public code. Differs: the norm of the last convolution begins with weights of
    1, the code's with 0.
    """

    kind = "token_mixer"
    Options = SingleHeadAttentionOptions

    def after(self, options: SingleHeadAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        channels = _channels(options, flow)
        if not 0 < channels <= flow.dim:
            name = "share" if options.channels is None else "channels"
            text = f"got {getattr(options, name)}, {channels} channels; expected 1 to the width {flow.dim}"
            raise DesignError(name, text)
        if options.norm == "group" and channels * flow.tokens == 1:
            raise DesignError("norm", "got group for a single number, which torch refuses; expected another norm")
        return mixed(flow)

    def cost(self, options: SingleHeadAttentionOptions, flow: Flow) -> Cost:
        """Norm, convolutions, and the two products of attention."""
        channels = _channels(options, flow)
        total = Cost() if options.norm == "none" else norm_cost(channels)
        total += conv_norm_cost(flow.grid, channels, 2 * options.key_dim + channels)
        total += Cost((flow.grid[0] * flow.grid[1]) ** 2 * (options.key_dim + channels))
        return total + conv_norm_cost(flow.grid, flow.dim, flow.dim)

    def part(self, options: SingleHeadAttentionOptions, flow: Flow) -> Part:
        """A SingleHeadAttention."""
        channels = _channels(options, flow)
        norm = norm_part(options.norm, channels, "map")
        args = {"channels": channels, "key_dim": options.key_dim, "norm": norm, "act": options.act}
        return Part.of(SingleHeadAttention, dim=flow.dim, **args)


def _channels(options: SingleHeadAttentionOptions, flow: Flow) -> int:
    return round(flow.dim * options.share) if options.channels is None else options.channels
