"""ParFormer's patch embedding: a convolution, and a max-pooling beside it that brings forward what stands out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, norm_cost, register
from gas.patterns.units import LayerNorm2d, activation, conv_cost


class CapeEmbed(nn.Module):
    """norm(conv(x) + act(pointwise(max_pool(x)))).

    Args:
        dim: Channels read.
        dim_out: Channels written.
        kernel: Side of the convolution, odd. The pooling's is half as wide again, its padding half the kernel; the
            convolution's padding is one less than that where the kernel is larger than 3.
        stride: Step of both.
        act: Activation of the pooled branch.
        eps: Of the norm.
    """

    def __init__(self, dim: int, dim_out: int, kernel: int, stride: int, act: str = "gelu", eps: float = 1e-5) -> None:
        super().__init__()
        half = kernel // 2
        self.pool = nn.MaxPool2d(kernel + half, stride, half)
        self.pointwise = nn.Conv2d(dim, dim_out, 1)
        self.act = activation(act)
        self.conv = nn.Conv2d(dim, dim_out, kernel, stride, half - 1 if kernel > 3 else half)
        self.norm = LayerNorm2d(dim_out, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H/stride, W/stride)."""
        return self.norm(self.act(self.pointwise(self.pool(x))) + self.conv(x))


def cape_grid(kernel: int, stride: int, grid: tuple[int, int]) -> tuple[int, int]:
    """The grid behind a CapeEmbed; DesignError where its two branches do not give just grid / stride."""
    half = kernel // 2
    if kernel % 2 == 0 or kernel < 3:
        raise DesignError("kernel", f"got {kernel}; expected an odd number of at least 3")
    for side in grid:
        if side % stride:
            raise DesignError("stride", f"got {stride}; expected a divisor of the side {side}")
        conv = (side + 2 * (half - 1 if kernel > 3 else half) - kernel) // stride + 1
        pool = (side + 2 * half - kernel - half) // stride + 1
        if not conv == pool == side // stride:
            text = f"got {kernel}: the convolution gives {conv} and the pooling {pool} of {side} places; expected one "
            raise DesignError("kernel", text + f"that suits the stride {stride}, as 3 does 2, and 7 does 4")
    return grid[0] // stride, grid[1] // stride


def cape_cost(grid: tuple[int, int], dim: int, dim_out: int, kernel: int) -> Cost:
    """A CapeEmbed that gives out a map of `grid`."""
    return conv_cost(grid, dim, dim_out, kernel) + conv_cost(grid, dim, dim_out) + norm_cost(dim_out)


class CapeEmbedOptions(Options):
    """Options of cape_embed."""

    dim: Annotated[int, Field(gt=0, description="width of the map"), Width()]
    kernel: Annotated[int, Field(gt=0, description="side of the convolution, pixels (odd, to suit the stride)")] = 7
    stride: Annotated[int, Field(gt=0, description="step of convolution and pooling, pixels")] = 4
    eps: Annotated[float, Field(gt=0, description="eps of the layer norm behind their sum")] = 1e-5


@register("cape_embed")
class CapeEmbedPattern(Pattern):
    """Channel attention patch embedding, as stem: convolution plus GELU of a 1 x 1 convolution of the max-pooled image.

    Source: ParFormer, arXiv 2403.15004, section 3; paddings and the pooling's size as in its public code.
    """

    kind = "stem"
    Options = CapeEmbedOptions

    def after(self, options: CapeEmbedOptions, flow: Flow) -> Flow:
        """The grid is the image side divided by the stride."""
        return flow.but(dim=options.dim, grid=cape_grid(options.kernel, options.stride, flow.grid), layout="map")

    def cost(self, options: CapeEmbedOptions, flow: Flow) -> Cost:
        """Both convolutions and the norm."""
        return cape_cost(self.after(options, flow).grid, flow.dim, options.dim, options.kernel)

    def part(self, options: CapeEmbedOptions, flow: Flow) -> Part:
        """A CapeEmbed."""
        args = {"kernel": options.kernel, "stride": options.stride, "eps": options.eps}
        return Part.of(CapeEmbed, dim=flow.dim, dim_out=options.dim, **args)
