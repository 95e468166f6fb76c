"""MobileViT's block: convolutions for what is near, a few transformer layers for what is far.

P is the places of a patch, N the patches of a map.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import (
    Cost,
    Flow,
    Options,
    Part,
    Pattern,
    Width,
    hidden_width,
    mixed,
    nested,
    norm_cost,
    refuse_even,
    register,
)
from gas.patterns.units import Activation, ConvNorm, conv_cost, conv_norm_cost


class MobileVitBlock(nn.Module):
    """Local convolutions; attention among the tokens at the same place of every patch; fusion with the input.

    Args:
        local: (B, C, H, W) -> (B, inner, H, W).
        layers: Transformer layers, on (B*P, N, inner).
        back: (B, inner, H, W) -> (B, C, H, W).
        fusion: (B, 2*C, H, W) -> (B, C, H, W), on the input and the result.
        patch: Side of a patch.
        grid: (H, W); where the patch does not divide it, the map is resized up for the layers.
    """

    def __init__(
        self,
        local: nn.Module,
        layers: nn.Module,
        back: nn.Module,
        fusion: nn.Module,
        patch: int,
        grid: tuple[int, int],
    ) -> None:
        super().__init__()
        self.local = local
        self.layers = layers
        self.back = back
        self.fusion = fusion
        self.patch = patch
        self.grid = tuple(grid)
        self.patches = (-(-grid[0] // patch), -(-grid[1] // patch))
        self.whole = (self.patches[0] * patch, self.patches[1] * patch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.local(x)  # (B, inner, H, W)
        if self.whole != self.grid:
            y = F.interpolate(y, self.whole, mode="bilinear")
        y = y.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))  # (B, inner, h, p, w, p)
        y = y.permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(0, 2)  # (B*P, N, inner)
        y = self.layers(y)
        y = y.unflatten(0, (-1, self.patch, self.patch)).unflatten(3, self.patches)  # (B, p, p, h, w, inner)
        y = y.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)  # (B, inner, H, W)
        if self.whole != self.grid:
            y = F.interpolate(y, self.grid, mode="bilinear")
        return self.fusion(torch.cat([x, self.back(y)], dim=1))


class MobileVitOptions(Options):
    """Options of mobilevit."""

    inner: Annotated[int, Field(gt=0, description="width of the transformer layers"), Width()]
    layers: Annotated[int, Field(gt=0, description="number of transformer layers")]
    heads: Annotated[int, Field(gt=0, description="number of heads; divides the inner width")] = 4
    ratio: Annotated[float, Field(gt=0, le=16, description="MLP's width as a multiple of the inner width")] = 2.0
    patch: Annotated[
        int, Field(gt=0, description="side of a patch, tokens; a token sees those at its own place in every patch")
    ] = 2
    kernel: Annotated[int, Field(gt=0, description="side of the first and the last convolution, tokens (odd)")] = 3
    act: Annotated[Activation, Field(description="activation of convolutions and MLPs")] = "silu"


@register("mobilevit")
class MobileVitPattern(Pattern):
    """Transformer layers on an unfolded map, between convolutions, fused with what came in.

    Where the patch does not divide the grid, the map is resized (bilinear) to the next whole number of patches for the
    layers, and back behind them.

    Source: MobileViT, arXiv 2110.02178, section 3.1; the resizing: its public code.
    """

    kind = "block"
    Options = MobileVitOptions

    def after(self, options: MobileVitOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        if options.inner % options.heads:
            raise DesignError("heads", f"got {options.heads}; expected a divisor of the inner width {options.inner}")
        hidden_width(options.inner, options.ratio)
        if options.patch > min(flow.grid):
            raise DesignError("patch", f"got {options.patch}; expected at most the grid's side {min(flow.grid)}")
        return mixed(flow)

    def cost(self, options: MobileVitOptions, flow: Flow) -> Cost:
        """Four convolutions, and for each place of a patch the layers on N tokens."""
        pattern, layer = nested(_layer(options))
        one = pattern.cost(layer, _unfolded(options, flow))
        layers = Cost(options.patch**2 * one.macs, one.params) * options.layers + norm_cost(options.inner)
        local = conv_norm_cost(flow.grid, flow.dim, flow.dim, options.kernel)
        local += conv_cost(flow.grid, flow.dim, options.inner, bias=False)
        back = conv_norm_cost(flow.grid, options.inner, flow.dim)
        return local + layers + back + conv_norm_cost(flow.grid, 2 * flow.dim, flow.dim, options.kernel)

    def part(self, options: MobileVitOptions, flow: Flow) -> Part:
        """A MobileVitBlock."""
        pattern, layer = nested(_layer(options))
        layers = [pattern.part(layer, _unfolded(options, flow))] * options.layers
        norm = Part.of(nn.LayerNorm, normalized_shape=options.inner, eps=1e-5)
        dim, inner, shape = flow.dim, options.inner, {"kernel": options.kernel, "act": options.act}
        narrow = Part.of(nn.Conv2d, in_channels=dim, out_channels=inner, kernel_size=1, bias=False)
        return Part.of(
            MobileVitBlock,
            local=Part(nn.Sequential, {"": [Part.of(ConvNorm, dim=dim, dim_out=dim, **shape), narrow]}),
            layers=Part(nn.Sequential, {"": [*layers, norm]}),
            back=Part.of(ConvNorm, dim=inner, dim_out=dim, act=options.act),
            fusion=Part.of(ConvNorm, dim=2 * dim, dim_out=dim, **shape),
            patch=options.patch,
            grid=flow.grid,
        )


def _layer(options: MobileVitOptions) -> Spec:
    """One of the inner layers: the usual transformer."""
    mixer = Spec.of("global_attention", heads=options.heads)
    return Spec.of("transformer", mixer=mixer, mlp=Spec.of("mlp", ratio=options.ratio, act=options.act), eps=1e-5)


def _unfolded(options: MobileVitOptions, flow: Flow) -> Flow:
    """What the inner layers read: for each place in a patch, a token per patch."""
    patches = (-(-flow.grid[0] // options.patch), -(-flow.grid[1] // options.patch))
    return Flow(dim=options.inner, grid=patches, layout="tokens", target=options.inner)
