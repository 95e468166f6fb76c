"""A stage is entered by ParFormer's patch embedding: a strided convolution and a max-pooling beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, register
from gas.patterns.cape_embed import CapeEmbed, cape_cost, cape_grid


class CapeDownsampleOptions(Options):
    """Options of cape_downsample."""

    kernel: Annotated[int, Field(gt=0, description="side of the convolution, tokens (odd, to suit the stride)")] = 3
    stride: Annotated[int, Field(gt=0, description="step of convolution and pooling, tokens")] = 2
    eps: Annotated[float, Field(gt=0, description="eps of the layer norm behind their sum")] = 1e-5


@register("cape_downsample")
class CapeDownsamplePattern(Pattern):
    """Channel attention patch embedding between stages: what `cape_embed` is as stem.

    Source: ParFormer, arXiv 2403.15004, section 3, and its public code.
    """

    kind = "entry"
    Options = CapeDownsampleOptions

    def after(self, options: CapeDownsampleOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        grid = cape_grid(options.kernel, options.stride, flow.grid)
        return flow.but(dim=flow.target, grid=grid, layout="map", scale=flow.scale * options.stride)

    def cost(self, options: CapeDownsampleOptions, flow: Flow) -> Cost:
        """Both convolutions and the norm."""
        return cape_cost(self.after(options, flow).grid, flow.dim, flow.target, options.kernel)

    def part(self, options: CapeDownsampleOptions, flow: Flow) -> Part:
        """A CapeEmbed."""
        return Part.of(CapeEmbed, dim=flow.dim, dim_out=flow.target, **options.model_dump())
