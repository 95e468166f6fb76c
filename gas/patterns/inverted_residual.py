"""The inverted residual: a 1 x 1 convolution widens, a depthwise one mixes places, a 1 x 1 convolution narrows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, refuse_even, register
from gas.patterns.units import (
    Activation,
    ConvNorm,
    Residual,
    SqueezeExcite,
    conv_norm_cost,
    squeeze_excite_cost,
    strided,
)


class InvertedResidualOptions(Options):
    """Options of inverted_residual."""

    kernel: Annotated[int, Field(gt=0, description="side of the depthwise convolution, tokens (odd)")] = 3
    stride: Annotated[int, Field(gt=0, description="its step, tokens, in every block of the group")] = 1
    expansion: Annotated[
        float, Field(gt=0, le=16, description="hidden width as a multiple of the width that comes in")
    ] = 4.0
    hidden: (
        Annotated[int, Field(gt=0, description="hidden width; null for what the expansion makes it"), Width()] | None
    ) = None
    act: Annotated[Activation, Field(description="activation behind the first two convolutions")] = "silu"
    se: (
        Annotated[float, Field(gt=0, le=1, description="squeeze-excite: inner width as a share; null for none")] | None
    ) = None
    se_of: Annotated[
        Literal["hidden", "input"], Field(description="the width that squeeze-excite's inner width is a share of")
    ] = "hidden"
    se_divisor: Annotated[
        int, Field(gt=0, description="squeeze-excite's inner width is rounded to a multiple of this")
    ] = 1
    se_act: Annotated[Activation, Field(description="activation inside squeeze-excite")] = "relu"
    se_gate: Annotated[
        Literal["sigmoid", "hard"], Field(description="squeeze-excite's gate: smooth, or piecewise linear")
    ] = "sigmoid"
    eps: Annotated[float, Field(gt=0, description="eps of the norms")] = 1e-5


@register("inverted_residual")
class InvertedResidualPattern(Pattern):
    """Widen, depthwise convolution, squeeze-excite where wanted, narrow; the input is added where shapes stay.

    A hidden width equal to the width that comes in has no first convolution. A grid of side s becomes
    ceil(s / stride).

    Source: MobileNetV2, arXiv 1801.04381, section 3; with squeeze-excite, MobileNetV3, arXiv 1905.02244, section 5
    (inner width a quarter of the hidden one, a multiple of 8, hard gate), and EfficientNet, arXiv 1905.11946, section
    4 (a quarter of the input's). Differs: padding is half the kernel on both sides, as in the PyTorch codes;
    TensorFlow's pads strided convolutions on one side.
    """

    kind = "block"
    Options = InvertedResidualOptions

    def after(self, options: InvertedResidualOptions, flow: Flow) -> Flow:
        """The target width, a smaller grid."""
        refuse_even(options.kernel)
        if _hidden(options, flow) < 1:
            raise DesignError("expansion", f"got {options.expansion}; expected one that leaves at least 1 channel")
        if flow.pool > 1:
            raise DesignError("stride", "cannot carry out a Q-pooling; expected a stage without one, and a stride here")
        grid = strided(flow.grid, options.stride)
        return flow.but(dim=flow.target, grid=grid, scale=flow.scale * options.stride, lag=False, scope=None)

    def cost(self, options: InvertedResidualOptions, flow: Flow) -> Cost:
        """Two or three convolutions with their norms, and squeeze-excite."""
        grid, hidden, total = strided(flow.grid, options.stride), _hidden(options, flow), Cost()
        if hidden != flow.dim:
            total += conv_norm_cost(flow.grid, flow.dim, hidden)
        total += conv_norm_cost(grid, hidden, hidden, options.kernel, groups=hidden)
        if options.se is not None:
            total += squeeze_excite_cost(hidden, _squeezed(options, flow))
        return total + conv_norm_cost(grid, hidden, flow.target)

    def part(self, options: InvertedResidualOptions, flow: Flow) -> Part:
        """A sequence of ConvNorms, within a Residual where width and grid stay."""
        hidden, common = _hidden(options, flow), {"act": options.act, "eps": options.eps}
        parts = []
        if hidden != flow.dim:
            parts.append(Part.of(ConvNorm, dim=flow.dim, dim_out=hidden, **common))
        step = {"kernel": options.kernel, "stride": options.stride, "groups": hidden}
        parts.append(Part.of(ConvNorm, dim=hidden, dim_out=hidden, **step, **common))
        if options.se is not None:
            inner, hard = _squeezed(options, flow), options.se_gate == "hard"
            parts.append(Part.of(SqueezeExcite, dim=hidden, hidden=inner, act=options.se_act, hard=hard))
        parts.append(Part.of(ConvNorm, dim=hidden, dim_out=flow.target, eps=options.eps))
        branch = Part(nn.Sequential, {"": parts})
        stays = flow.dim == flow.target and options.stride == 1
        return Part.of(Residual, branch=branch) if stays else branch


def _hidden(options: InvertedResidualOptions, flow: Flow) -> int:
    return options.hidden or int(flow.dim * options.expansion)


def _squeezed(options: InvertedResidualOptions, flow: Flow) -> int:
    """Squeeze-excite's inner width: the nearest multiple of the divisor, but never below nine tenths of the share."""
    share = options.se * (_hidden(options, flow) if options.se_of == "hidden" else flow.dim)
    divisor = options.se_divisor
    nearest = max(int(share / divisor + 0.5), 1) * divisor
    return nearest + divisor if nearest < 0.9 * share else nearest
