"""Attention in which every token sees all tokens."""

from __future__ import annotations

from gas.patterns.attention import AttentionOptions, AttentionPattern
from gas.patterns.base import Flow, register


class GlobalAttentionOptions(AttentionOptions):
    """Options of global_attention: exactly one of `heads` and `head_dim`."""


@register("global_attention")
class GlobalAttentionPattern(AttentionPattern):
    """Multi-head self-attention over all tokens, with max-pooled queries where a Q-pooling leads into the block.

    Source: Vaswani et al., arXiv 1706.03762, section 3.2; Q-pooling: Hiera, arXiv 2306.00989, section 3.
    """

    Options = GlobalAttentionOptions
    class_tokens = True

    def unit_side(self, options: GlobalAttentionOptions, flow: Flow) -> int:
        """All tokens are one unit."""
        return 0
