"""Hierarchical attention: carriers of all windows attend to one another, then each window attends with its carriers."""

from __future__ import annotations

from math import isqrt
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.attention import AttentionOptions, heads_and_inner
from gas.patterns.base import Cost, Flow, Part, Pattern, Width, hidden_width, linear_cost, mixed, norm_cost, register
from gas.patterns.mlp import Mlp
from gas.patterns.position_mlp import OffsetBias, PlaceEmbedding, offset_cost, place_cost
from gas.patterns.transformer import TransformerBlock
from gas.patterns.units import LayerScale


class BiasedAttention(nn.Module):
    """Softmax attention among all tokens, with a bias on the scores.

    Args:
        dim: Channels.
        heads: Number of heads (K).
        inner: Channels of all heads together.
        qkv_bias: Whether queries, keys and values have a bias.
        bias: Gives (1, K, N, N).
    """

    first, last = "qkv", "proj"

    def __init__(self, dim: int, heads: int, inner: int, qkv_bias: bool, bias: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias)
        self.bias = bias
        self.proj = nn.Linear(inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # (B, K, N, D)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias())
        return self.proj(x.transpose(1, 2).flatten(2))


class Hat(nn.Module):
    """Carriers attend among themselves, across windows; then each window attends together with its carriers.

    Args:
        windows: Number of windows (W).
        tokens: Tokens of a window (T).
        place: Position embedding of a window's tokens.
        local: Block that the windows go through, carriers included.
        carrier_place: Position embedding of all carriers, window by window; None where there are none.
        between: Block that all carriers go through; None where there are none.
        spread: For each token of a window, the number of the carrier that is added to it at the end; None for no such
            addition. What is added has the layer scale of the carriers' attention.
    """

    def __init__(
        self,
        windows: int,
        tokens: int,
        place: nn.Module,
        local: nn.Module,
        carrier_place: nn.Module | None = None,
        between: nn.Module | None = None,
        spread: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.windows = windows
        self.tokens = tokens
        self.place = place
        self.carrier_place = carrier_place
        self.between = between
        self.local = local
        # The same module as in the block, so folding the block leaves it to us.
        self.spread_scale = nn.Identity() if spread is None or between is None else between.scale1
        self.register_buffer("spread", None if spread is None else torch.tensor(spread), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, W*(carriers + T), C) -> the same shape; one window without carriers is (B, N, C) tokens, row by row."""
        # No shape is kept for later: what exporters write down then would hold for one size of batch alone.
        x = x.unflatten(1, (self.windows, -1)).flatten(0, 1)  # (B*W, carriers + T, C)
        if self.between is None:
            return self._joined(self.local(x + self.place()))
        carriers, x = x.split((x.shape[1] - self.tokens, self.tokens), dim=1)
        x = x + self.place()
        y = self._joined(carriers) + self.carrier_place()  # (B, W*carriers, C)
        carriers = self.between(y).unflatten(1, (self.windows, -1)).flatten(0, 1)  # (B*W, carriers, C)
        x = self.local(torch.cat([carriers, x], dim=1))
        if self.spread is not None:
            carriers, x = x.split((x.shape[1] - self.tokens, self.tokens), dim=1)
            x = torch.cat([carriers, x + self.spread_scale(carriers[:, self.spread])], dim=1)
        return self._joined(x)

    def _joined(self, x: Tensor) -> Tensor:
        """(B*W, n, C) -> (B, W*n, C)."""
        return x.unflatten(0, (-1, self.windows)).flatten(1, 2)


class HatOptions(AttentionOptions):
    """Options of hat: exactly one of `heads` and `head_dim`."""

    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width of the channel mixers, times the width")] = 4.0
    hidden: Annotated[int, Field(gt=0, description="hidden width of the networks that read positions"), Width()] = 512
    layer_scale: (
        Annotated[float, Field(gt=0, description="layer scale of all branches begins with this; null for none")] | None
    ) = None
    spread: Annotated[
        bool, Field(description="at the end each token gets the carrier of its place added, where there are carriers")
    ] = False
    eps: Annotated[float, Field(gt=0, description="eps of the norms")] = 1e-5


@register("hat")
class HatPattern(Pattern):
    """Block of hierarchical attention on windows with carriers, which `carrier_tokens` makes.

    Without carriers it is attention within windows, or within one window that holds the whole map. The carriers are
    kept window by window, and their positions with them, so nothing is moved in between.

    Source: FasterViT, arXiv 2306.06189, section 3.3, figure 4, and its public code. `spread` stands in the last block
    of a stage in FasterViT-3 and larger.
    """

    kind = "block"
    Options = HatOptions

    def reads(self, options: HatOptions, flow: Flow) -> tuple[str, ...]:
        """Windows; all tokens, row by row, are one window."""
        return ("tokens", "windows")

    def after(self, options: HatOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        heads_and_inner(options, flow.target)
        hidden_width(flow.dim, options.ratio)
        if flow.layout == "windows" and isqrt(flow.extra) ** 2 != flow.extra:
            raise DesignError("", f"got {flow.extra} carriers for each window; expected a square number")
        return mixed(flow)

    def cost(self, options: HatOptions, flow: Flow) -> Cost:
        """Both levels: positions, norms, attention and channel mixer, layer scales."""
        side, windows, carriers = _windows(flow)
        tokens = side[0] * side[1]
        total = place_cost(flow.dim, side, options.hidden)
        total += _block_cost(options, flow, side, times=windows, length=flow.extra + tokens)
        if carriers is not None:
            total += place_cost(flow.dim, carriers, options.hidden)
            total += _block_cost(options, flow, carriers, times=1, length=carriers[0] * carriers[1])
        return total

    def part(self, options: HatOptions, flow: Flow) -> Part:
        """A Hat."""
        side, windows, carriers = _windows(flow)
        place = Part.of(PlaceEmbedding, dim=flow.dim, grid=side, hidden=options.hidden)
        args = {"windows": windows, "tokens": side[0] * side[1], "place": place}
        args["local"] = _block(options, flow, grid=side, extra=flow.extra)
        if carriers is not None:
            order = {"grid": carriers, "window": isqrt(flow.extra)}
            args["carrier_place"] = Part.of(PlaceEmbedding, dim=flow.dim, hidden=options.hidden, **order)
            args["between"] = _block(options, flow, **order)
            if options.spread:
                args["spread"] = _nearest(flow.window, isqrt(flow.extra))
        return Part.of(Hat, **args)


def _windows(flow: Flow) -> tuple[tuple[int, int], int, tuple[int, int] | None]:
    """(h, w) of a window, the number of windows, and the grid of all carriers, None where there are none."""
    if flow.layout != "windows":
        return flow.grid, 1, None
    rows, columns = flow.grid[0] // flow.window, flow.grid[1] // flow.window
    each = isqrt(flow.extra)
    return (flow.window, flow.window), rows * columns, (rows * each, columns * each) if each else None


def _nearest(side: int, carriers: int) -> list[int]:
    """For each token of a window, row by row, the carrier whose field it lies in."""
    along = [i * carriers // side for i in range(side)]
    return [carriers * row + column for row in along for column in along]


def _block(options: HatOptions, flow: Flow, **bias: object) -> Part:
    """Attention and channel mixer, each in a branch with its norm; `bias` says where the tokens stand."""
    heads, inner = heads_and_inner(options, flow.dim)
    norm = Part.of(nn.LayerNorm, normalized_shape=flow.dim, eps=options.eps)
    offsets = Part.of(OffsetBias, heads=heads, hidden=options.hidden, **bias)
    args = {"dim": flow.dim, "heads": heads, "inner": inner, "qkv_bias": options.qkv_bias}
    attention = Part.of(BiasedAttention, **args, bias=offsets)
    mlp = Part.of(Mlp, dim=flow.dim, hidden=hidden_width(flow.dim, options.ratio))
    scales = {}
    if options.layer_scale is not None:
        scale = Part.of(LayerScale, dim=flow.dim, init=options.layer_scale)
        scales = {"scale1": scale, "scale2": scale}
    return Part.of(TransformerBlock, norm1=norm, token_mixer=attention, norm2=norm, channel_mixer=mlp, **scales)


def _block_cost(options: HatOptions, flow: Flow, grid: tuple[int, int], *, times: int, length: int) -> Cost:
    """A block that `times` sequences of `length` tokens go through; those with a place stand on `grid`."""
    heads, inner = heads_and_inner(options, flow.dim)
    dim, hidden, tokens = flow.dim, hidden_width(flow.dim, options.ratio), times * length
    total = linear_cost(tokens, dim, 3 * inner, bias=options.qkv_bias) + linear_cost(tokens, inner, dim)
    total += Cost(2 * tokens * length * inner) + offset_cost(heads, grid, options.hidden)
    total += linear_cost(tokens, dim, hidden) + linear_cost(tokens, hidden, dim)
    scales = Cost(0, 2 * dim if options.layer_scale is not None else 0)
    return total + norm_cost(dim) + norm_cost(dim) + scales
