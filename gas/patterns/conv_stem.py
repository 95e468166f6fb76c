"""A stem of several small convolutions, each with its norm and activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, refuse_even, register
from gas.patterns.units import ACTIVATIONS, Activation, ConvNorm, conv_norm_cost, stem_grid, strided


class ConvStemOptions(Options):
    """Options of conv_stem."""

    dim: Annotated[int, Field(gt=0, description="width of the last convolution"), Width()]
    strides: Annotated[tuple[int, ...], Field(min_length=1, description="step of each convolution")] = (2, 2)
    hidden: (
        Annotated[int, Field(gt=0, description="width of all but the last; null for half of the one after"), Width()]
        | None
    ) = None
    kernel: Annotated[int, Field(gt=0, description="side of the convolutions, pixels (odd)")] = 3
    act: Annotated[Activation, Field(description="activation behind each norm")] = "gelu"
    norm_last: Annotated[bool, Field(description="each activation stands before its norm")] = False
    last_act: Annotated[bool, Field(description="the last convolution has its activation too")] = True
    bias: Annotated[bool, Field(description="the convolutions have biases beside the norms'")] = False
    eps: Annotated[float, Field(gt=0, description="eps of the norms")] = 1e-5
    grid: Annotated[
        Literal["exact", "rounded"],
        Field(description="whether the strides must divide the resolution, or the grid is rounded up"),
    ] = "exact"


@register("conv_stem")
class ConvStemPattern(Pattern):
    """Convolution, batch norm, activation, several times: early convolutions in place of one patch embedding.

    Source: Xiao et al., arXiv 2106.14881, section 4; as in LeViT (arXiv 2104.01136, section 4), EfficientViT
    (arXiv 2305.07027, section 3), SHViT, SwiftFormer, EfficientFormerV2 and FasterViT. `norm_last` is as in the public
    code of CMT, arXiv 2107.06263.
    """

    kind = "stem"
    Options = ConvStemOptions

    def after(self, options: ConvStemOptions, flow: Flow) -> Flow:
        """The grid is the image side divided by all strides."""
        refuse_even(options.kernel)
        grid = stem_grid(flow.grid, options.strides, exact=options.grid == "exact")
        if min(self._widths(options)) < 1:
            raise DesignError("dim", f"got {options.dim}; expected one that can be halved for every convolution before")
        return flow.but(dim=options.dim, grid=grid, layout="map")

    def cost(self, options: ConvStemOptions, flow: Flow) -> Cost:
        """All convolutions with their norms."""
        total, grid, dim = Cost(), flow.grid, flow.dim
        for width, stride in zip(self._widths(options), options.strides, strict=True):
            grid = strided(grid, stride)
            total += conv_norm_cost(grid, dim, width, options.kernel, bias=options.bias)
            dim = width
        return total

    def part(self, options: ConvStemOptions, flow: Flow) -> Part:
        """A sequence of ConvNorms."""
        parts, dim, widths = [], flow.dim, self._widths(options)
        for number, (width, stride) in enumerate(zip(widths, options.strides, strict=True), 1):
            act = options.act if number < len(widths) or options.last_act else "none"
            more = {"bias": options.bias, "eps": options.eps}
            if options.norm_last and act != "none":
                args = {"in_channels": dim, "out_channels": width, "kernel_size": options.kernel, "stride": stride}
                parts.append(Part.of(nn.Conv2d, **args, padding=options.kernel // 2, bias=options.bias))
                parts.append(Part.of(ACTIVATIONS[act]))
                parts.append(Part.of(nn.BatchNorm2d, num_features=width, eps=options.eps))
            else:
                args = {"dim": dim, "dim_out": width, "kernel": options.kernel, "stride": stride}
                parts.append(Part.of(ConvNorm, **args, act=act, **more))
            dim = width
        return Part(nn.Sequential, {"": parts})

    def _widths(self, options: ConvStemOptions) -> Sequence[int]:
        before = len(options.strides) - 1
        if options.hidden is not None:
            return [options.hidden] * before + [options.dim]
        return [options.dim // 2 ** (before - i) for i in range(before + 1)]
