"""A stage is entered by a strided inverted bottleneck between cheap local and channel mixing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from gas.architecture import Spec
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Slot, hidden_width, nested, refuse_even, register
from gas.patterns.sandwich import LOCAL, MLP, pair, walk
from gas.patterns.units import Activation, ConvNorm, SqueezeExcite, conv_norm_cost, squeeze_excite_cost, strided


class SandwichDownsampleOptions(Options):
    """Options of sandwich_downsample."""

    mlp: Annotated[
        Spec | None, Slot("channel_mixer"), Field(description="channel mixer of each pair; null for none")
    ] = MLP
    local: Annotated[Spec | None, Slot("token_mixer"), Field(description="token mixer of each pair; null for none")] = (
        LOCAL
    )
    pairs: Annotated[
        int, Field(gt=0, description="pairs of local and mlp before the bottleneck, and as many behind it")
    ] = 1
    expand: Annotated[float, Field(gt=0, description="width of the bottleneck as a multiple of the width read")] = 4.0
    kernel: Annotated[int, Field(gt=0, description="side of its depthwise convolution, tokens (odd)")] = 3
    stride: Annotated[int, Field(gt=0, description="its step, tokens")] = 2
    squeeze: (
        Annotated[
            float,
            Field(gt=0, description="hidden share of its squeeze and excitation, rounded to eights; null for none"),
        ]
        | None
    ) = 0.25
    act: Annotated[Activation, Field(description="activation behind its first two convolutions")] = "relu"


@register("sandwich_downsample")
class SandwichDownsamplePattern(Pattern):
    """x + local(x), x + mlp(x) at the old width; the bottleneck; x + local(x), x + mlp(x) at the new width.

    The bottleneck: 1 x 1 convolution, strided depthwise convolution, squeeze and excitation, 1 x 1 convolution. A grid
    of side s becomes ceil(s / stride).

    Source: EfficientViT, arXiv 2305.07027, section 3.3 ("EfficientViT subsample block"); SHViT, arXiv 2401.16456.
    """

    kind = "entry"
    Options = SandwichDownsampleOptions

    def after(self, options: SandwichDownsampleOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        refuse_even(options.kernel)
        _hidden(options, flow)
        self._through(_pairs(options), flow.but(target=flow.dim))
        return self._through(_pairs(options), _small(options, flow))

    def cost(self, options: SandwichDownsampleOptions, flow: Flow) -> Cost:
        """Both sides and the bottleneck."""
        small, hidden = _small(options, flow), _hidden(options, flow)
        total = walk(_pairs(options), flow.but(target=flow.dim))[0] + walk(_pairs(options), small)[0]
        total += conv_norm_cost(flow.grid, flow.dim, hidden)
        total += conv_norm_cost(small.grid, hidden, hidden, options.kernel, groups=hidden)
        if options.squeeze is not None:
            total += squeeze_excite_cost(hidden, _squeezed(options, hidden))
        return total + conv_norm_cost(small.grid, hidden, flow.target)

    def part(self, options: SandwichDownsampleOptions, flow: Flow) -> Part:
        """A sequence: the pairs before, the bottleneck's modules, the pairs behind."""
        hidden, act = _hidden(options, flow), options.act
        step = {"kernel": options.kernel, "stride": options.stride, "groups": hidden}
        parts = walk(_pairs(options), flow.but(target=flow.dim))[1]
        parts += [Part.of(ConvNorm, dim=flow.dim, dim_out=hidden, act=act)]
        parts += [Part.of(ConvNorm, dim=hidden, dim_out=hidden, act=act, **step)]
        if options.squeeze is not None:
            parts += [Part.of(SqueezeExcite, dim=hidden, hidden=_squeezed(options, hidden))]
        parts += [Part.of(ConvNorm, dim=hidden, dim_out=flow.target)]
        return Part(nn.Sequential, {"": parts + walk(_pairs(options), _small(options, flow))[1]})

    def _through(self, specs: list[Spec], flow: Flow) -> Flow:
        """The flow behind the pairs, each of which may refuse."""
        for spec in specs:
            pattern, inner = nested(spec)
            flow = pattern.after(inner, flow)
        return flow


def _pairs(options: SandwichDownsampleOptions) -> list[Spec]:
    return pair(options.local, options.mlp) * options.pairs


def _small(options: SandwichDownsampleOptions, flow: Flow) -> Flow:
    """The flow behind the bottleneck."""
    grid, scale = strided(flow.grid, options.stride), flow.scale * options.stride
    return flow.but(dim=flow.target, grid=grid, scale=scale, layout="map")


def _hidden(options: SandwichDownsampleOptions, flow: Flow) -> int:
    return hidden_width(flow.dim, options.expand, "expand")


def _squeezed(options: SandwichDownsampleOptions, hidden: int) -> int:
    """The nearest multiple of 8, as in MobileNetV3's code and those that took the module over; at least 8."""
    return max(8, int(hidden * options.squeeze + 4) // 8 * 8)
