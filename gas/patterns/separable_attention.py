"""Separable self-attention: every place is weighted by one context vector, so the cost is linear in the tokens.

P is the places of a patch, N the patches of a map: an unfolded map is (B, C, P, N).
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, mixed, register
from gas.patterns.units import conv_cost


class UnfoldPatches(nn.Module):
    """(B, C, H, W) -> (B, C, P, N): a row for each place in a patch of side `patch`, a column for each patch."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, P, N)."""
        if self.patch == 1:
            return x.flatten(2).unsqueeze(2)  # (B, C, 1, H*W)
        x = x.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))  # (B, C, h, p, w, p)
        return x.permute(0, 1, 3, 5, 2, 4).flatten(4, 5).flatten(2, 3)


class FoldPatches(nn.Module):
    """The inverse of `UnfoldPatches` for a map of `grid`."""

    def __init__(self, patch: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.grid = tuple(grid)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, P, N) -> (B, C, H, W)."""
        if self.patch == 1:
            return x.squeeze(2).unflatten(2, self.grid)
        patches = (self.grid[0] // self.patch, self.grid[1] // self.patch)
        x = x.unflatten(3, patches).unflatten(2, (self.patch, self.patch))  # (B, C, p, p, h, w)
        return x.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class SeparableAttention(nn.Module):
    """relu(value) x context, where the context is the sum of all keys of the row, weighted by one softmaxed score."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.widths = (1, dim, dim)
        self.qkv = nn.Conv2d(dim, sum(self.widths), 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, P, N) -> (B, C, P, N)."""
        score, key, value = self.qkv(x).split(self.widths, dim=1)  # (B, 1, P, N) and twice (B, C, P, N)
        context = (key * score.softmax(-1)).sum(-1, keepdim=True)  # (B, C, P, 1)
        return self.proj(F.relu(value) * context)


class SeparableAttentionOptions(Options):
    """Options of separable_attention."""

    patch: Annotated[
        int, Field(gt=0, description="side of a patch, tokens; a token sees those at its own place in every patch")
    ] = 1


@register("separable_attention")
class SeparableAttentionPattern(Pattern):
    """Attention with a single score per token: linear in the number of tokens, elementwise products alone.

    With `patch` 1 every token sees all others. The products count no macs, as in the paper's counters.

    Source: MobileViTv2, arXiv 2206.02680, section 3.1. Differs: in the paper it stands in a block that unfolds the map
    once for several layers (see mobilevit_v2); here it unfolds for itself, and works in any block.
    """

    kind = "token_mixer"
    Options = SeparableAttentionOptions

    def after(self, options: SeparableAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_patch(options.patch, flow)
        return mixed(flow)

    def cost(self, options: SeparableAttentionOptions, flow: Flow) -> Cost:
        """The two 1 x 1 convolutions."""
        return conv_cost(flow.grid, flow.dim, 1 + 2 * flow.dim) + conv_cost(flow.grid, flow.dim, flow.dim)

    def part(self, options: SeparableAttentionOptions, flow: Flow) -> Part:
        """A SeparableAttention between unfolding and folding."""
        parts = [
            Part.of(UnfoldPatches, patch=options.patch),
            Part.of(SeparableAttention, dim=flow.dim),
            Part.of(FoldPatches, patch=options.patch, grid=flow.grid),
        ]
        return Part(nn.Sequential, {"": parts})


def refuse_patch(patch: int, flow: Flow) -> None:
    """DesignError where the grid cannot be cut into whole patches."""
    for side in flow.grid:
        if side % patch:
            raise DesignError("patch", f"got {patch}; expected a divisor of the grid's side {side}")
