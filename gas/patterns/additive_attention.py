"""Attention whose cost is linear in the tokens: one global query, no values."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, linear_cost, mixed, register


class AdditiveAttention(nn.Module):
    """Sums all queries, each by its learned share, into one; that one weighs the channels of every key.

    Args:
        dim: Channels.
        inner: Channels I of queries and keys.
    """

    last = "out"

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, 1))
        self.query = nn.Linear(dim, inner)
        self.key = nn.Linear(dim, inner)
        self.proj = nn.Linear(inner, inner)
        self.out = nn.Linear(inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        query = F.normalize(self.query(x), dim=-1)  # (B, N, I)
        key = F.normalize(self.key(x), dim=-1)  # (B, N, I)
        share = F.normalize(query @ self.weight * len(self.weight) ** -0.5, dim=1)  # (B, N, 1)
        summed = (share * query).sum(dim=1, keepdim=True)  # (B, 1, I)
        return self.out(self.proj(summed * key) + query)


class AdditiveAttentionOptions(Options):
    """Options of additive_attention."""

    inner: (
        Annotated[int, Field(gt=0, description="channels of queries and keys; null for the width"), Width()] | None
    ) = None


@register("additive_attention")
class AdditiveAttentionPattern(Pattern):
    """Efficient additive attention: a learned vector weighs the queries, their sum meets every key; no values.

    Source: SwiftFormer, arXiv 2303.15446, section 3.2. Differs: as in its public code, the shares are normed over the
    tokens, and a linear layer stands behind the sum.
    """

    kind = "token_mixer"
    Options = AdditiveAttentionOptions

    def reads(self, options: AdditiveAttentionOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens in any order."""
        return ("tokens", "unrolled", "set")

    def after(self, options: AdditiveAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        return mixed(flow)

    def cost(self, options: AdditiveAttentionOptions, flow: Flow) -> Cost:
        """Four linear layers and the queries' products with the learned vector; the rest is elementwise."""
        tokens, dim, inner = flow.tokens, flow.dim, options.inner or flow.dim
        layers = (
            linear_cost(tokens, dim, inner) * 2 + linear_cost(tokens, inner, inner) + linear_cost(tokens, inner, dim)
        )
        return layers + linear_cost(tokens, inner, 1, bias=False)

    def part(self, options: AdditiveAttentionOptions, flow: Flow) -> Part:
        """An AdditiveAttention."""
        return Part.of(AdditiveAttention, dim=flow.dim, inner=options.inner or flow.dim)
