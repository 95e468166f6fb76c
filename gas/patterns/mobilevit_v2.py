"""MobileViTv2's block: a depthwise convolution for what is near, separable attention for what is far."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

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
from gas.patterns.conv_mlp import ConvMlp
from gas.patterns.separable_attention import FoldPatches, SeparableAttention, UnfoldPatches, refuse_patch
from gas.patterns.transformer import TransformerBlock
from gas.patterns.units import Activation, ConvNorm, conv_cost, conv_norm_cost, norm_part


class MobileVitV2Options(Options):
    """Options of mobilevit_v2."""

    layers: Annotated[int, Field(gt=0, description="number of layers")]
    inner: (
        Annotated[int, Field(gt=0, description="width of the layers; null for half of the block's"), Width()] | None
    ) = None
    ratio: Annotated[float, Field(gt=0, le=16, description="MLP's width as a multiple of the inner width")] = 2.0
    patch: Annotated[
        int, Field(gt=0, description="side of a patch, tokens; a token sees those at its own place in every patch")
    ] = 2
    kernel: Annotated[int, Field(gt=0, description="side of the depthwise convolution, tokens (odd)")] = 3
    act: Annotated[Activation, Field(description="activation of the first convolution and of the MLPs")] = "silu"


@register("mobilevit_v2")
class MobileVitV2Pattern(Pattern):
    """Layers of separable attention and MLP on an unfolded map, between convolutions; the input is not added.

    Source: MobileViTv2, arXiv 2206.02680, section 3.2 and its public code. Differs: where the patch does not divide the
    grid, the public code resizes the map and goes on with the larger one; here that is refused.
    """

    kind = "block"
    Options = MobileVitV2Options

    def after(self, options: MobileVitV2Options, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        hidden_width(_inner(options, flow), options.ratio)
        if _inner(options, flow) * flow.tokens == 1:
            raise DesignError("inner", "got 1 channel at one place, which no norm can be taken of; expected more")
        refuse_patch(options.patch, flow)
        return mixed(flow)

    def cost(self, options: MobileVitV2Options, flow: Flow) -> Cost:
        """Three convolutions, and the layers with the norm behind them."""
        inner = _inner(options, flow)
        local = conv_norm_cost(flow.grid, flow.dim, flow.dim, options.kernel, groups=flow.dim)
        local += conv_cost(flow.grid, flow.dim, inner, bias=False)
        mlp = Spec.of("conv_mlp", ratio=options.ratio, norm=False)
        # Patches move what a layer reads, not how much of it.
        pattern, layer = nested(Spec.of("transformer", mixer=Spec.of("separable_attention"), mlp=mlp, norm="group"))
        layers = pattern.cost(layer, Flow(dim=inner, grid=flow.grid, target=inner)) * options.layers
        return local + layers + norm_cost(inner) + conv_norm_cost(flow.grid, inner, flow.dim)

    def part(self, options: MobileVitV2Options, flow: Flow) -> Part:
        """A sequence: the map is unfolded once for all layers."""
        dim, inner = flow.dim, _inner(options, flow)
        norm = norm_part("group", inner, "map")
        mlp = Part.of(ConvMlp, dim=inner, hidden=hidden_width(inner, options.ratio), act=options.act, norm=False)
        attention = Part.of(SeparableAttention, dim=inner)
        layer = Part.of(TransformerBlock, norm1=norm, token_mixer=attention, norm2=norm, channel_mixer=mlp)
        parts = [
            Part.of(ConvNorm, dim=dim, dim_out=dim, kernel=options.kernel, groups=dim, act=options.act),
            Part.of(nn.Conv2d, in_channels=dim, out_channels=inner, kernel_size=1, bias=False),
            Part.of(UnfoldPatches, patch=options.patch),
            *[layer] * options.layers,
            norm,
            Part.of(FoldPatches, patch=options.patch, grid=flow.grid),
            Part.of(ConvNorm, dim=inner, dim_out=dim),
        ]
        return Part(nn.Sequential, {"": parts})


def _inner(options: MobileVitV2Options, flow: Flow) -> int:
    return options.inner or max(flow.dim // 2, 1)
