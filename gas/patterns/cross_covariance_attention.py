"""Attention among channels: which channels go together, over all tokens."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.patterns.attention import AttentionOptions, heads_and_inner
from gas.patterns.base import Cost, Flow, Part, Pattern, linear_cost, mixed, register


class CrossCovarianceAttention(nn.Module):
    """Every channel of a head becomes a weighted mean of that head's channels; the cost is linear in the tokens.

    Args:
        dim: Width of the tokens.
        heads: Number of heads K, of D channels each.
        inner: Channels of all heads together.
        qkv_bias: Whether queries, keys and values have a bias.
        proj_bias: Whether the output layer has a bias.
        cosine: Queries and keys are of length 1 over the tokens, and a learned number per head stands for the scale.
        transposed: The weights are applied transposed: those that one channel gives add up to 1.
    """

    first, last = "qkv", "proj"

    def __init__(
        self,
        dim: int,
        heads: int,
        inner: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        cosine: bool = True,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.transposed = transposed
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1)) if cosine else None
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias)
        self.proj = nn.Linear(inner, dim, bias=proj_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, N, 3, K, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, K, N, D)
        if self.temperature is None:
            q = q * self.scale
        else:
            q, k = F.normalize(q, dim=2) * self.temperature, F.normalize(k, dim=2)
        weights = (q.transpose(2, 3) @ k).softmax(dim=-1)  # (B, K, D, D)
        x = v @ (weights if self.transposed else weights.transpose(2, 3))  # (B, K, N, D)
        return self.proj(x.transpose(1, 2).flatten(2))  # (B, N, C)


class CrossCovarianceAttentionOptions(AttentionOptions):
    """Options of cross_covariance_attention: exactly one of `heads` and `head_dim`."""

    proj_bias: Annotated[bool, Field(description="the output layer has a bias")] = True
    similarity: Annotated[
        Literal["cosine", "scaled"],
        Field(description="queries and keys normalised over the tokens, times a learned number; or by head_dim**-0.5"),
    ] = "cosine"
    transposed: Annotated[
        bool, Field(description="the weights that one channel gives, not those it receives, add up to 1")
    ] = False


@register("cross_covariance_attention")
class CrossCovarianceAttentionPattern(Pattern):
    """Attention over a head's channels in place of tokens.

    Source: XCiT, arXiv 2106.09681, section 3.2; as in EdgeNeXt, arXiv 2206.10589, section 3.2. `similarity: scaled`
    and `transposed` are what the public code of ParFormer (arXiv 2403.15004) computes; the paper describes attention
    over tokens there.
    """

    kind = "token_mixer"
    Options = CrossCovarianceAttentionOptions
    class_tokens = True

    def reads(self, options: CrossCovarianceAttentionOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens in any order."""
        return ("tokens", "unrolled", "set")

    def after(self, options: CrossCovarianceAttentionOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        heads_and_inner(options, flow.target)
        return mixed(flow)

    def cost(self, options: CrossCovarianceAttentionOptions, flow: Flow) -> Cost:
        """Both layers, the products of queries with keys and of values with weights, a temperature per head."""
        heads, inner = heads_and_inner(options, flow.target)
        products = Cost(2 * flow.tokens * inner * (inner // heads), heads * (options.similarity == "cosine"))
        layers = linear_cost(flow.tokens, flow.dim, 3 * inner, bias=options.qkv_bias)
        return layers + linear_cost(flow.tokens, inner, flow.dim, bias=options.proj_bias) + products

    def part(self, options: CrossCovarianceAttentionOptions, flow: Flow) -> Part:
        """A CrossCovarianceAttention."""
        heads, inner = heads_and_inner(options, flow.target)
        return Part.of(
            CrossCovarianceAttention,
            dim=flow.dim,
            heads=heads,
            inner=inner,
            qkv_bias=options.qkv_bias,
            proj_bias=options.proj_bias,
            cosine=options.similarity == "cosine",
            transposed=options.transposed,
        )
