"""A stage is entered by one strided convolution, with a norm before or behind it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, norm_cost, register
from gas.patterns.units import Activation, ConvNorm, LayerNorm2d, activation, conv_cost, strided


class ConvDownsample(nn.Module):
    """Strided convolution with a layer norm before or behind it, or with none.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        kernel: Side of the convolution.
        stride: Its step; the padding is half the kernel where that is odd, else 0.
        norm: `before`, `behind` or `none`.
        act: Activation behind it all.
        bias: Whether the convolution has a bias.
        eps: Of the norm.
    """

    def __init__(
        self, dim: int, dim_out: int, kernel: int, stride: int, norm: str, act: str, bias: bool, eps: float
    ) -> None:
        super().__init__()
        self.before = LayerNorm2d(dim, eps=eps) if norm == "before" else nn.Identity()
        self.conv = nn.Conv2d(dim, dim_out, kernel, stride, kernel // 2 if kernel % 2 else 0, bias=bias)
        self.behind = LayerNorm2d(dim_out, eps=eps) if norm == "behind" else nn.Identity()
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H/stride, W/stride)."""
        return self.act(self.behind(self.conv(self.before(x))))


class ConvDownsampleOptions(Options):
    """Options of conv_downsample."""

    kernel: Annotated[int, Field(gt=0, description="side of the convolution, tokens: odd, or the stride")] = 3
    stride: Annotated[int, Field(gt=0, description="its step, tokens; 1 changes the width alone")] = 2
    norm: Annotated[Literal["batch", "layer", "none"], Field(description="kind of norm")] = "batch"
    norm_first: Annotated[bool, Field(description="the norm stands before the convolution (layer norm only)")] = False
    act: Annotated[Activation, Field(description="activation behind it")] = "none"
    bias: Annotated[bool, Field(description="the convolution has a bias")] = False
    eps: Annotated[float, Field(gt=0, description="eps of the norm; null for the kind's usual one")] | None = None


@register("conv_downsample")
class ConvDownsamplePattern(Pattern):
    """One strided convolution to the new width.

    An odd kernel is padded by half its side, so a grid of side s becomes ceil(s / stride); a kernel as wide as the
    stride is not padded, and the stride must divide the grid.

    Source: with batch norm, EfficientFormerV2 (arXiv 2212.08059) and SwiftFormer (arXiv 2303.15446); layer norm
    first, kernel 2: ConvNeXt, arXiv 2201.03545, section 2.6; layer norm behind: EfficientMod, arXiv 2403.19963, CMT.
    """

    kind = "entry"
    Options = ConvDownsampleOptions

    def after(self, options: ConvDownsampleOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        if options.kernel % 2 == 0 and options.kernel != options.stride:
            raise DesignError("kernel", f"got {options.kernel}; expected an odd number, or the stride {options.stride}")
        for side in flow.grid if options.kernel % 2 == 0 else ():
            if side % options.stride:
                raise DesignError("stride", f"got {options.stride}; expected a divisor of the grid's side {side}")
        if options.norm_first and options.norm == "batch":
            raise DesignError("norm_first", "got true with a batch norm; expected a layer norm")
        grid = strided(flow.grid, options.stride)
        return flow.but(dim=flow.target, grid=grid, layout="map", scale=flow.scale * options.stride)

    def cost(self, options: ConvDownsampleOptions, flow: Flow) -> Cost:
        """Convolution and norm."""
        grid = strided(flow.grid, options.stride)
        total = conv_cost(grid, flow.dim, flow.target, options.kernel, bias=options.bias)
        if options.norm == "none":
            return total
        return total + norm_cost(flow.dim if options.norm_first else flow.target)

    def part(self, options: ConvDownsampleOptions, flow: Flow) -> Part:
        """A ConvNorm, or a ConvDownsample with a layer norm or none."""
        args = {"dim": flow.dim, "dim_out": flow.target, "kernel": options.kernel, "stride": options.stride}
        args |= {"act": options.act, "bias": options.bias}
        if options.norm == "batch":
            return Part.of(ConvNorm, **args, eps=options.eps or 1e-5)
        norm = "none" if options.norm == "none" else "before" if options.norm_first else "behind"
        return Part.of(ConvDownsample, **args, norm=norm, eps=options.eps or 1e-6)
