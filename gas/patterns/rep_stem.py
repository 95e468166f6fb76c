"""A stem of reparameterised convolutions: a full one, depthwise ones, a 1 x 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, refuse_even, register
from gas.patterns.reparam import mobile_one, rep_conv_cost
from gas.patterns.units import Activation, stem_grid, strided


class RepStemOptions(Options):
    """Options of rep_stem."""

    dim: Annotated[int, Field(gt=0, description="width of all convolutions"), Width()]
    strides: Annotated[
        tuple[int, ...],
        Field(min_length=1, description="step of each convolution but the 1 x 1"),
    ] = (2, 2)
    kernel: Annotated[int, Field(gt=0, description="side of these convolutions, pixels (odd)")] = 3
    scale: Annotated[bool, Field(description="a 1 x 1 convolution beside each of them, while training")] = True
    act: Annotated[Activation, Field(description="activation behind each")] = "gelu"
    grid: Annotated[
        Literal["exact", "rounded"],
        Field(description="whether the strides must divide the resolution, or the grid is rounded up"),
    ] = "exact"


@register("rep_stem")
class RepStemPattern(Pattern):
    """MobileOne units: one full convolution, depthwise ones, a 1 x 1; each folds into one convolution.

    Source: FastViT, arXiv 2303.14189, section 3.1 and its public code, where MobileCLIP's largest has no scale branch.
    """

    kind = "stem"
    Options = RepStemOptions

    def after(self, options: RepStemOptions, flow: Flow) -> Flow:
        """The grid is the image side divided by all strides."""
        refuse_even(options.kernel)
        grid = stem_grid(flow.grid, options.strides, exact=options.grid == "exact")
        return flow.but(dim=options.dim, grid=grid, layout="map")

    def cost(self, options: RepStemOptions, flow: Flow) -> Cost:
        """All branches of all units."""
        return sum((rep_conv_cost(unit, grid) for unit, grid in self._units(options, flow)), Cost())

    def part(self, options: RepStemOptions, flow: Flow) -> Part:
        """A sequence of RepConvs."""
        return Part(nn.Sequential, {"": [unit for unit, _ in self._units(options, flow)]})

    def _units(self, options: RepStemOptions, flow: Flow) -> Iterator[tuple[Part, tuple[int, int]]]:
        """Each unit with the grid that it gives out."""
        grid, dim, to = flow.grid, flow.dim, options.dim
        more = {"scale": options.scale, "act": options.act}
        for number, stride in enumerate(options.strides):
            grid = strided(grid, stride)
            yield mobile_one(dim, to, options.kernel, stride=stride, groups=to if number else 1, **more), grid
            dim = to
        yield mobile_one(to, to, 1, **more), grid
