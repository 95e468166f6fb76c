"""Convolutional patch embedding, with position embedding and class token where wanted."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, norm_cost, register
from gas.patterns.units import conv_cost


class ConvEmbed(nn.Module):
    """One convolution that cuts the image into patches; tokens come out, row by row.

    Args:
        channels: Image channels.
        dim: Width of the tokens.
        kernel: Side of the convolution.
        stride: Step of the convolution; the grid is the image side divided by it.
        grid: (H, W) of the position embedding; None for none.
        class_token: A learned token stands before the others.
        eps: Of a layer norm over each token; None for no norm.
        bias: Whether the convolution has a bias.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        kernel: int,
        stride: int,
        grid: tuple[int, int] | None = None,
        class_token: bool = False,
        eps: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        padding = 0 if kernel == stride else kernel // 2
        self.conv = nn.Conv2d(channels, dim, kernel, stride, padding, bias=bias)
        self.norm = nn.Identity() if eps is None else nn.LayerNorm(dim, eps=eps)
        self.token = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.position = None if grid is None else nn.Parameter(torch.zeros(1, grid[0] * grid[1] + class_token, dim))
        for parameter in (self.token, self.position):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H*stride, W*stride) -> (B, N, C)."""
        x = self.norm(self.conv(x).flatten(2).transpose(1, 2))  # (B, H*W, C)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)  # (B, 1 + H*W, C)
        return x if self.position is None else x + self.position


class ConvEmbedOptions(Options):
    """Options of conv_embed."""

    dim: Annotated[int, Field(gt=0, description="width of the tokens"), Width()]
    kernel: Annotated[int, Field(gt=0, description="side of the convolution, pixels: odd, or the stride")] = 7
    stride: Annotated[int, Field(gt=0, description="step of the convolution, pixels")] = 4
    position: Annotated[Literal["learned", "none"], Field(description="position embedding added to the tokens")] = (
        "learned"
    )
    norm: Annotated[Literal["layer", "none"], Field(description="norm over each token")] = "none"
    eps: Annotated[float, Field(gt=0, description="eps of that norm")] = 1e-6
    class_token: Annotated[bool, Field(description="a learned token before the others, for the head to read")] = False
    bias: Annotated[bool, Field(description="the convolution has a bias")] = True


@register("conv_embed")
class ConvEmbedPattern(Pattern):
    """Patch embedding by one convolution; norm, learned absolute position embedding and class token as wanted.

    Source: Hiera, arXiv 2306.00989, and its public code: kernel 7, stride 4, padding 3. Patches that do not overlap
    (kernel = stride, no padding): ViT, arXiv 2010.11929, section 3.1, which also has the class token.
    """

    kind = "stem"
    Options = ConvEmbedOptions

    def after(self, options: ConvEmbedOptions, flow: Flow) -> Flow:
        """The grid is the image side divided by the stride."""
        if options.kernel % 2 == 0 and options.kernel != options.stride:
            raise DesignError("kernel", f"got {options.kernel}; expected an odd number, or the stride {options.stride}")
        for side in flow.grid:
            if side % options.stride:
                raise DesignError("stride", f"got {options.stride}; expected a divisor of the resolution {side}")
        grid = (flow.grid[0] // options.stride, flow.grid[1] // options.stride)
        return flow.but(dim=options.dim, grid=grid, layout="tokens", extra=int(options.class_token))

    def cost(self, options: ConvEmbedOptions, flow: Flow) -> Cost:
        """Convolution, norm, class token and position embedding."""
        after = self.after(options, flow)
        total = conv_cost(after.grid, flow.dim, options.dim, options.kernel, bias=options.bias)
        total += Cost(0, after.tokens * options.dim * (options.position == "learned") + options.dim * after.extra)
        return total + norm_cost(options.dim) if options.norm == "layer" else total

    def part(self, options: ConvEmbedOptions, flow: Flow) -> Part:
        """A ConvEmbed."""
        return Part.of(
            ConvEmbed,
            channels=flow.dim,
            dim=options.dim,
            kernel=options.kernel,
            stride=options.stride,
            grid=self.after(options, flow).grid if options.position == "learned" else None,
            class_token=options.class_token,
            eps=options.eps if options.norm == "layer" else None,
            **({} if options.bias else {"bias": False}),
        )
