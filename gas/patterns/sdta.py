"""EdgeNeXt's split depthwise transpose attention: a cascade of convolutions over groups of channels, then attention."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.attention import AttentionOptions, heads_and_inner
from gas.patterns.base import Cost, Flow, Part, Pattern, linear_cost, mixed, norm_cost, refuse_even, register
from gas.patterns.cross_covariance_attention import CrossCovarianceAttention
from gas.patterns.folding import scale_into
from gas.patterns.units import DropPath, LayerScale, conv_cost

WAVES = 32
"""Sines and cosines along each side of the grid, together."""


class FourierPosition(nn.Module):
    """Adds to every token a linear function of sines and cosines of its place.

    Args:
        dim: Width of the tokens.
        grid: (H, W).
        waves: Sines and cosines along each side, together.

    Source: Vaswani et al., arXiv 1706.03762, section 3.5, over two sides, each mapped to (0, 2 pi] before.
    """

    def __init__(self, dim: int, grid: tuple[int, int], waves: int) -> None:
        super().__init__()
        sides = []
        for side in grid:
            place = torch.arange(1, side + 1) / (side + 1e-6) * 2 * math.pi
            angle = place[:, None] / 10000 ** (torch.arange(0, waves, 2) / waves)  # (side, waves/2)
            sides.append(torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1))  # (side, waves)
        rows = sides[0][:, None].expand(-1, grid[1], -1)  # (H, W, waves)
        columns = sides[1][None].expand(grid[0], -1, -1)  # (H, W, waves)
        self.register_buffer("waves", torch.cat([rows, columns], dim=-1).flatten(0, 1), persistent=False)
        self.linear = nn.Linear(2 * waves, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return x + self.linear(self.waves)

    def folded(self) -> nn.Module:
        """The sum's second term, computed once."""
        values = self.linear(self.waves).detach()
        fixed = FixedPosition(*values.shape)
        fixed.position = nn.Parameter(values)
        return fixed


class FixedPosition(nn.Module):
    """Adds numbers that are fixed to the tokens.

    Args:
        tokens: Number of tokens.
        dim: Their width.
    """

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(tokens, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return x + self.position


class SplitDepthwiseAttention(nn.Module):
    """Groups of channels are convolved one after the other, each with the result before it added; then attention.

    Args:
        dim: Channels.
        widths: Channels of each group; no convolution reads the last.
        kernel: Side of the depthwise convolutions.
        attention: Over (B, N, C), in a residual branch with a layer norm.
        eps: Of that norm.
        layer_scale: What the branch's layer scale begins with; None for none.
        position: Added before the branch; None for nothing.
    """

    def __init__(
        self,
        dim: int,
        widths: list[int],
        kernel: int,
        attention: nn.Module,
        eps: float,
        layer_scale: float | None = None,
        position: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.widths = list(widths)
        self.convs = nn.ModuleList(nn.Conv2d(w, w, kernel, padding=kernel // 2, groups=w) for w in widths[:-1])
        self.position = nn.Identity() if position is None else position
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.attention = attention
        self.scale = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        first, *others = x.split(self.widths, dim=1)
        done = [self.convs[0](first)]
        for group, conv in zip(others[:-1], self.convs[1:], strict=True):
            done.append(conv(done[-1] + group))
        y = torch.cat([*done, others[-1]], dim=1)  # (B, C, H, W)
        y = self.position(y.flatten(2).transpose(1, 2))  # (B, N, C)
        y = y + self.drop_path(self.scale(self.attention(self.norm(y))))
        return y.transpose(1, 2).unflatten(2, x.shape[2:])  # (B, C, H, W)

    def folded(self) -> nn.Module:
        """The layer scale goes into the attention."""
        self.scale = scale_into(self.scale, self.attention)
        return self


class SdtaOptions(AttentionOptions):
    """Options of sdta: exactly one of `heads` and `head_dim`."""

    scales: Annotated[int, Field(ge=2, description="groups of channels; all but the last are convolved")] = 2
    kernel: Annotated[int, Field(gt=0, description="side of the depthwise convolutions, tokens (odd)")] = 3
    position: Annotated[bool, Field(description="sines and cosines of the place are added before the attention")] = (
        False
    )
    eps: Annotated[float, Field(gt=0, description="eps of the norm before the attention")] = 1e-6
    layer_scale: (
        Annotated[float, Field(gt=0, description="layer scale of the attention begins with this; null for none")] | None
    ) = 1e-6


@register("sdta")
class SdtaPattern(Pattern):
    """Depthwise convolutions over groups of channels in a row, then cross-covariance attention in a branch of its own.

    The groups are as wide as ceil(width / scales), the last one less where that does not come out even.

    Source: EdgeNeXt, arXiv 2206.10589, section 3.2; in its block the whole stands as mixer of `convnext`.
    """

    kind = "token_mixer"
    Options = SdtaOptions

    def after(self, options: SdtaOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        if self._widths(options, flow)[-1] < 1:
            text = f"got {options.scales}; expected fewer, for the last group of {flow.dim} channels not to be empty"
            raise DesignError("scales", text)
        heads_and_inner(options, flow.target)
        return mixed(flow)

    def cost(self, options: SdtaOptions, flow: Flow) -> Cost:
        """Convolutions, position, norm, layer scale, attention."""
        dim, tokens = flow.dim, flow.grid[0] * flow.grid[1]
        heads, inner = heads_and_inner(options, flow.target)
        total = norm_cost(dim) + Cost(0, dim if options.layer_scale is not None else 0)
        for width in self._widths(options, flow)[:-1]:
            total += conv_cost(flow.grid, width, width, options.kernel, groups=width)
        if options.position:
            total += linear_cost(tokens, 2 * WAVES, dim)
        total += linear_cost(tokens, dim, 3 * inner, bias=options.qkv_bias) + linear_cost(tokens, inner, dim)
        return total + Cost(2 * tokens * inner * (inner // heads), heads)

    def part(self, options: SdtaOptions, flow: Flow) -> Part:
        """A SplitDepthwiseAttention."""
        heads, inner = heads_and_inner(options, flow.target)
        args = {"dim": flow.dim, "widths": self._widths(options, flow), "kernel": options.kernel, "eps": options.eps}
        args["attention"] = Part.of(
            CrossCovarianceAttention, dim=flow.dim, heads=heads, inner=inner, qkv_bias=options.qkv_bias
        )
        if options.layer_scale is not None:
            args["layer_scale"] = options.layer_scale
        if options.position:
            args["position"] = Part.of(FourierPosition, dim=flow.dim, grid=flow.grid, waves=WAVES)
        return Part.of(SplitDepthwiseAttention, **args)

    def _widths(self, options: SdtaOptions, flow: Flow) -> list[int]:
        width = -(-flow.dim // options.scales)
        return [width] * (options.scales - 1) + [flow.dim - width * (options.scales - 1)]
