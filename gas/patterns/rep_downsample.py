"""A stage is entered by a large depthwise convolution and a 1 x 1, both reparameterised."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, refuse_even, register
from gas.patterns.reparam import RepConv, mobile_one, rep_conv_cost
from gas.patterns.units import Activation, strided


class RepDownsampleOptions(Options):
    """Options of rep_downsample."""

    kernel: Annotated[int, Field(gt=0, description="side of the large convolution, tokens (odd)")] = 7
    small: Annotated[int, Field(gt=0, description="side of one beside it, while training; null for none")] | None = 3
    stride: Annotated[int, Field(gt=0, description="step of both, tokens")] = 2
    squeeze: (
        Annotated[float, Field(gt=0, le=1, description="squeeze-excite behind, hidden share; null for none")] | None
    ) = None
    large_act: Annotated[Activation, Field(description="activation behind the large convolution")] = "none"
    act: Annotated[Activation, Field(description="activation behind the 1 x 1 convolution")] = "gelu"


@register("rep_downsample")
class RepDownsamplePattern(Pattern):
    """Large strided convolution, as many groups as channels come in, to the new width; then a 1 x 1 MobileOne unit.

    A grid of side s becomes ceil(s / stride).

    Source: FastViT, arXiv 2303.14189, sections 3.2.2 and 3.2.3; the small kernel: RepLKNet, arXiv 2203.06717, section
    3. `squeeze` and `large_act` are MobileCLIP's, arXiv 2311.17049, in the public code of both.
    """

    kind = "entry"
    Options = RepDownsampleOptions

    def after(self, options: RepDownsampleOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        for name in ("kernel", "small"):
            side = getattr(options, name)
            if side is not None:
                refuse_even(side, name)
        if options.small is not None and options.small > options.kernel:
            raise DesignError("small", f"got {options.small}; expected at most the kernel's {options.kernel}")
        if flow.target % flow.dim:
            raise DesignError("", f"widens every channel alike; got {flow.dim} coming in and {flow.target} wanted")
        grid = strided(flow.grid, options.stride)
        return flow.but(dim=flow.target, grid=grid, layout="map", scale=flow.scale * options.stride)

    def cost(self, options: RepDownsampleOptions, flow: Flow) -> Cost:
        """All branches of both units."""
        grid = strided(flow.grid, options.stride)
        return sum((rep_conv_cost(unit, grid) for unit in self._units(options, flow)), Cost())

    def part(self, options: RepDownsampleOptions, flow: Flow) -> Part:
        """A sequence of two RepConvs."""
        return Part(nn.Sequential, {"": self._units(options, flow)})

    def _units(self, options: RepDownsampleOptions, flow: Flow) -> list[Part]:
        kernels = [options.kernel] if options.small is None else [options.kernel, options.small]
        squeeze = 0 if options.squeeze is None else max(1, round(flow.target * options.squeeze))
        args = {"kernels": kernels, "stride": options.stride, "groups": flow.dim, "squeeze": squeeze}
        large = Part.of(RepConv, dim=flow.dim, dim_out=flow.target, **args, act=options.large_act)
        return [large, mobile_one(flow.target, flow.target, 1, act=options.act)]
