"""Multi-head attention over tokens, within units that lie side by side: shared by the attention patterns.

No pattern is registered here. One module serves all scopes: with one unit it is global attention, with several it
is mask unit attention, because in unrolled order a unit is a leading part of the index.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, linear_cost

OWN = {"heads", "head_dim", "inner", "qkv_bias"}
"""Options that say what an attention is made of, not how far a token sees."""


class UnitAttention(nn.Module):
    """Softmax attention in which a token sees the tokens of its own unit; queries may be max-pooled.

    Args:
        dim: Width of the tokens read.
        dim_out: Width of the tokens written.
        heads: Number of heads; divides dim_out.
        unit: Tokens per unit after pooling; 0 for a single unit that holds all tokens.
        pool: Tokens that one query is the maximum of (4 for Q-pooling over 2 x 2 groups; 1 for none).
        inner: Channels of all heads together; None for dim_out.
        qkv_bias: Whether queries, keys and values have a bias.
    """

    first, last = "qkv", "proj"

    def __init__(
        self,
        dim: int,
        dim_out: int,
        heads: int,
        unit: int = 0,
        pool: int = 1,
        inner: int | None = None,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.unit = unit
        self.pool = pool
        inner = inner or dim_out
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias)
        self.proj = nn.Linear(inner, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N / pool, dim_out)."""
        units = x.shape[1] // (self.unit * self.pool) if self.unit else 1
        # W units; the tokens of a unit (N / W of them) come first in the index: (B, N/W, W, 3, K, D).
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unflatten(1, (-1, units))
        q, k, v = qkv.permute(3, 0, 2, 4, 1, 5).unbind(0)  # each (B, W, K, N/W, D)
        if self.pool > 1:
            q = q.unflatten(3, (self.pool, -1)).amax(dim=3)  # (B, W, K, N/W/pool, D)
        # Torch has fast kernels for four dimensions only.
        x = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
        x = x.unflatten(0, (-1, units))  # (B, W, K, N/W/pool, D)
        x = x.permute(0, 3, 1, 2, 4).flatten(3).flatten(1, 2)  # (B, N/pool, inner)
        return self.proj(x)


class AttentionOptions(Options):
    """Options that every attention has: exactly one of `heads` and `head_dim` is given."""

    heads: Annotated[int, Field(gt=0, description="number of heads; divides the width")] | None = None
    head_dim: Annotated[int, Field(gt=0, description="channels per head; divides the width"), Width()] | None = None
    inner: (
        Annotated[int, Field(gt=0, description="channels of all heads together; null for the width"), Width()] | None
    ) = None
    qkv_bias: Annotated[bool, Field(description="queries, keys and values have a bias")] = True


class AttentionPattern(Pattern):
    """Base of the attention patterns; a subclass says how far a token sees."""

    kind = "token_mixer"

    def unit_side(self, options: AttentionOptions, flow: Flow) -> int:
        """Side of a unit in tokens after pooling; 0 where all tokens are one unit."""
        raise DesignError("", "an attention pattern must say how far a token sees")

    def scope(self, options: AttentionOptions) -> Spec:
        """The mixer without its widths: what Hiera's lag hands to the next block."""
        return Spec.of(self.name, **options.model_dump(exclude_defaults=True, exclude=OWN))

    def with_scope(self, options: AttentionOptions, scope: Spec) -> Spec:
        """This attention's heads with another's scope."""
        own = options.model_dump(exclude_defaults=True, include=OWN)
        return Spec.of(scope.pattern, **scope.options, **own)

    def groups(self, options: AttentionOptions, flow: Flow) -> int:
        """One for the pooling, and one for every halving of the unit's side."""
        return (flow.pool * max(self.unit_side(options, flow), 1)).bit_length() - 1

    def reads(self, options: AttentionOptions, flow: Flow) -> tuple[str, ...]:
        """Any order of tokens where all see all and none are pooled; else the unrolled order."""
        if flow.pool > 1 or self.unit_side(options, flow):
            return ("unrolled",)
        return ("tokens", "unrolled", "set")

    def after(self, options: AttentionOptions, flow: Flow) -> Flow:
        """Width becomes the target, the grid is pooled, the scope is remembered."""
        _heads(options, flow.target)
        for side in flow.grid:
            if side % flow.pool:
                raise DesignError("", f"pooling by {flow.pool} does not divide the grid's side {side}")
        unit = self.unit_side(options, flow)
        for side in flow.pooled_grid if unit else ():
            if side % unit:
                problem = f"got {unit}, which does not divide the grid's side {side}; expected a divisor"
                raise DesignError("mask_unit", problem)
        return flow.but(
            dim=flow.target,
            grid=flow.pooled_grid,
            scale=flow.scale * flow.pool,
            pool=1,
            lag=False,
            scope=self.scope(options),
        )

    def cost(self, options: AttentionOptions, flow: Flow) -> Cost:
        """Query-key-value and output layers, and the two products of attention (q k^T and weights v)."""
        queries = flow.pooled_grid[0] * flow.pooled_grid[1] + flow.extra
        side = self.unit_side(options, flow)
        keys = (side * flow.pool) ** 2 if side else flow.tokens
        _, inner = _heads(options, flow.target)
        products = Cost(2 * queries * keys * inner)
        return (
            linear_cost(flow.tokens, flow.dim, 3 * inner, bias=options.qkv_bias)
            + linear_cost(queries, inner, flow.target)
            + products
        )

    def part(self, options: AttentionOptions, flow: Flow) -> Part:
        """A UnitAttention."""
        heads, inner = _heads(options, flow.target)
        return Part.of(
            UnitAttention,
            dim=flow.dim,
            dim_out=flow.target,
            heads=heads,
            unit=self.unit_side(options, flow) ** 2,
            pool=flow.pool**2,
            inner=None if inner == flow.target else inner,
            qkv_bias=options.qkv_bias,
        )


def heads_and_inner(options: AttentionOptions, dim: int) -> tuple[int, int]:
    """Number of heads, and channels of all of them together; DesignError where the one does not divide the other."""
    return _heads(options, dim)


def _heads(options: AttentionOptions, dim: int) -> tuple[int, int]:
    """Number of heads, and channels of all of them together."""
    if (options.heads is None) == (options.head_dim is None):
        raise DesignError("heads", "expected exactly one of `heads` and `head_dim`")
    name, divisor = ("heads", options.heads) if options.heads else ("head_dim", options.head_dim)
    inner = options.inner or dim
    if inner % divisor:
        raise DesignError(name, f"got {divisor}; expected a divisor of the width {inner}")
    return options.heads or inner // options.head_dim, inner
