"""A transformer block that ranks its tokens and lets only the best go on."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.attention import AttentionOptions, heads_and_inner
from gas.patterns.base import (
    Cost,
    Flow,
    Part,
    Pattern,
    Slot,
    linear_cost,
    mixed,
    nested,
    norm_cost,
    refuse_class_token,
    register,
    within,
)
from gas.patterns.units import DropPath


class RankingAttention(nn.Module):
    """Softmax attention over all tokens, which also says how much attention each token received.

    Args:
        dim: Channels.
        heads: Number of heads (K).
        inner: Channels of all heads together.
        qkv_bias: Whether queries, keys and values have a bias.
        rank: By whom: `class`, the first token; `received`, all tokens.
    """

    last = "proj"

    def __init__(self, dim: int, heads: int, inner: int, qkv_bias: bool, rank: str) -> None:
        super().__init__()
        self.heads = heads
        self.rank = rank
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias)
        self.proj = nn.Linear(inner, dim)

    def forward(self, x: Tensor, ranked: bool = True) -> tuple[Tensor, Tensor | None]:
        """(B, N, C) -> (B, N, C), and (B, N): attention received, the mean of all heads; None where not `ranked`."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # each (B, K, N, D)
        received = None
        if ranked and self.rank == "received":
            weights = self._weights(q, k)  # (B, K, N, N)
            received, x = weights.mean(dim=(1, 2)), weights @ v
        else:
            x = F.scaled_dot_product_attention(q, k, v)  # (B, K, N, D)
            if ranked:
                # One more row is cheaper than doing without the fused attention.
                received = self._weights(q[:, :, :1], k).mean(dim=(1, 2))
        return self.proj(x.transpose(1, 2).flatten(2)), received

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, K, queries, D), (B, K, N, D) -> (B, K, queries, N)."""
        return (q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)).softmax(dim=-1)


class PruningBlock(nn.Module):
    """x + attention(norm(x)), then x + channel_mixer(norm(x)); behind the one or the other, tokens are left out.

    Its parameters have the names of those of a TransformerBlock.

    Args:
        dim: Channels.
        token_mixer: A RankingAttention.
        channel_mixer: Keeps the shape; None for no such branch.
        kept: Tokens that go on, without class tokens; 0 for all.
        extra: Class tokens, which always go on.
        early: Tokens are left out before the channel mixer, not behind it.
        eps: Of the norms.
    """

    def __init__(
        self,
        dim: int,
        token_mixer: nn.Module,
        channel_mixer: nn.Module | None = None,
        kept: int = 0,
        extra: int = 0,
        early: bool = True,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.kept = kept
        self.extra = extra
        self.early = early
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.token_mixer = token_mixer
        self.norm2 = nn.Identity() if channel_mixer is None else nn.LayerNorm(dim, eps=eps)
        self.channel_mixer = channel_mixer
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(B, extra + N, C) -> (B, extra + kept, C), the tokens in the order in which they came."""
        y, received = self.token_mixer(self.norm1(x), ranked=self.kept > 0)
        x = x + self.drop_path(y)
        if received is not None and self.early:
            x = self.left(x, received)
        if self.channel_mixer is not None:
            x = x + self.drop_path(self.channel_mixer(self.norm2(x)))
        if received is not None and not self.early:
            x = self.left(x, received)
        return x

    def left(self, x: Tensor, received: Tensor) -> Tensor:
        """(B, extra + N, C), (B, extra + N) -> (B, extra + kept, C)."""
        best = received[:, self.extra :].topk(self.kept, dim=1, sorted=False).indices.sort(dim=1).values  # (B, kept)
        best = (best + self.extra).unsqueeze(-1).expand(-1, -1, x.shape[-1])  # (B, kept, C)
        return torch.cat([x[:, : self.extra], x.gather(1, best)], dim=1)


class PruningOptions(AttentionOptions):
    """Options of pruning: exactly one of `heads` and `head_dim`."""

    keep: Annotated[float, Field(gt=0, le=1, description="share of the tokens that go on, rounded up; 1 for all")]
    rank: Annotated[
        Literal["class", "received"],
        Field(description="tokens are ranked by the class token's attention to them, or by all tokens' mean attention"),
    ] = "class"
    where: Annotated[
        Literal["attention", "block"],
        Field(description="tokens are left out behind the attention, before the channel mixer, or behind the block"),
    ] = "attention"
    mlp: Annotated[Spec | None, Slot("channel_mixer"), Field(description="channel mixer; null for none")] = Spec("mlp")
    eps: Annotated[float, Field(gt=0, description="eps of the norms")] = 1e-6


@register("pruning")
class PruningPattern(Pattern):
    """Pre-norm block of global attention and a channel mixer, in which the tokens that matter least are left out.

    What is left stands on no grid: blocks that read a set may follow, and the head. A class token always goes on.
    Where all tokens are kept it computes what a transformer block of the same options does.

    Source: ranked by the class token, behind the attention: SuperViT, arXiv 2205.11397, section 3; ranked by the
    attention received, behind the block: FastV, arXiv 2403.06764, section 4. Differs: FastV
    ranks the image tokens of a language model; here every token, the class token included, gives attention.
    """

    kind = "block"
    Options = PruningOptions
    class_tokens = True

    def reads(self, options: PruningOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, or what a pruning before has left of them."""
        return ("tokens", "set")

    def after(self, options: PruningOptions, flow: Flow) -> Flow:
        """A set of the tokens kept."""
        heads_and_inner(options, flow.target)
        if options.rank == "class" and not flow.extra:
            raise DesignError("rank", "got class, but no class token comes in; expected received")
        mixed(flow)
        if options.mlp is not None:
            mlp, mlp_options = nested(options.mlp)
            inside = self._at_mlp(options, flow)
            if inside.layout not in mlp.reads(mlp_options, inside):
                text = f"got {mlp.name}, which cannot read {inside.layout}; expected one that needs no grid"
                raise DesignError("mlp", text)
            try:
                refuse_class_token(mlp, inside)
                mlp.after(mlp_options, inside)
            except DesignError as error:
                raise within("mlp", error) from error
        return self._pruned(options, flow).but(lag=False, scope=None)

    def cost(self, options: PruningOptions, flow: Flow) -> Cost:
        """Attention over all tokens, the class token's row once more where it ranks, channel mixer, norms."""
        _, inner = heads_and_inner(options, flow.target)
        total = norm_cost(flow.dim) + Cost(2 * flow.tokens**2 * inner)
        total += linear_cost(flow.tokens, flow.dim, 3 * inner, bias=options.qkv_bias)
        total += linear_cost(flow.tokens, inner, flow.dim)
        if options.rank == "class" and self._kept(options, flow):
            total += Cost(flow.tokens * inner)
        if options.mlp is not None:
            mlp, mlp_options = nested(options.mlp)
            total += norm_cost(flow.dim) + mlp.cost(mlp_options, self._at_mlp(options, flow))
        return total

    def part(self, options: PruningOptions, flow: Flow) -> Part:
        """A PruningBlock."""
        heads, inner = heads_and_inner(options, flow.target)
        args = {"dim": flow.dim, "heads": heads, "inner": inner, "qkv_bias": options.qkv_bias, "rank": options.rank}
        mlp = None
        if options.mlp is not None:
            pattern, mlp_options = nested(options.mlp)
            mlp = pattern.part(mlp_options, self._at_mlp(options, flow))
        return Part.of(
            PruningBlock,
            dim=flow.dim,
            token_mixer=Part.of(RankingAttention, **args),
            channel_mixer=mlp,
            kept=self._kept(options, flow),
            extra=flow.extra,
            early=options.where == "attention",
            eps=options.eps,
        )

    def _kept(self, options: PruningOptions, flow: Flow) -> int:
        """Tokens that go on, without class tokens; 0 where all do."""
        places = flow.grid[0] * flow.grid[1]
        kept = max(1, math.ceil(round(options.keep * places, 6)))  # 0.1 * 30 is a little more than 3
        return 0 if kept == places else kept

    def _pruned(self, options: PruningOptions, flow: Flow) -> Flow:
        return flow.but(layout="set", grid=(1, self._kept(options, flow) or flow.grid[0] * flow.grid[1]))

    def _at_mlp(self, options: PruningOptions, flow: Flow) -> Flow:
        """The flow as the channel mixer reads it."""
        return self._pruned(options, flow) if options.where == "attention" else flow
