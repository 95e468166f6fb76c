"""PiT's patch embedding: patches that overlap, without padding; positions for patches alone; a class token."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, register
from gas.patterns.units import conv_cost


class PitEmbed(nn.Module):
    """One convolution without padding, plus positions; a learned token without a position stands before the others.

    Args:
        channels: Image channels.
        dim: Width of the tokens.
        kernel: Side of the convolution.
        stride: Its step.
        grid: (H, W) of its output.
        class_token: Whether there is the learned token.
    """

    def __init__(
        self, channels: int, dim: int, kernel: int, stride: int, grid: tuple[int, int], class_token: bool
    ) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, dim, *grid))
        self.token = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.conv = nn.Conv2d(channels, dim, kernel, stride)
        for parameter in (self.position, self.token):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, R, R) -> (B, N, C)."""
        x = (self.conv(x) + self.position).flatten(2).transpose(1, 2)  # (B, H*W, C)
        if self.token is None:
            return x
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)  # (B, 1 + H*W, C)


class PitEmbedOptions(Options):
    """Options of pit_embed."""

    dim: Annotated[int, Field(gt=0, description="width of the tokens"), Width()]
    kernel: Annotated[int, Field(gt=0, description="side of a patch, pixels; at least the stride")] = 16
    stride: Annotated[int, Field(gt=0, description="from patch to patch, pixels")] = 8
    class_token: Annotated[bool, Field(description="a learned token before the others, for the head to read")] = True


@register("pit_embed")
class PitEmbedPattern(Pattern):
    """Overlapping patches of the bare image, learned positions of patches, and a class token that has none.

    Source: PiT, arXiv 2103.16302, section 3.2, and its public code. Differs: the public code leaves out pixels at the
    edge where patches do not come out even; here that is refused.
    """

    kind = "stem"
    Options = PitEmbedOptions

    def after(self, options: PitEmbedOptions, flow: Flow) -> Flow:
        """(side - kernel) / stride + 1 patches along a side."""
        if options.kernel < options.stride:
            raise DesignError("kernel", f"got {options.kernel}; expected at least the stride {options.stride}")
        for side in flow.grid:
            if side < options.kernel or (side - options.kernel) % options.stride:
                text = f"got {options.stride}; expected a step at which patches of {options.kernel} cover just {side}"
                raise DesignError("stride", text)
        rows, columns = ((side - options.kernel) // options.stride + 1 for side in flow.grid)
        return flow.but(dim=options.dim, grid=(rows, columns), layout="tokens", extra=int(options.class_token))

    def cost(self, options: PitEmbedOptions, flow: Flow) -> Cost:
        """Convolution, positions, class token."""
        after = self.after(options, flow)
        return conv_cost(after.grid, flow.dim, options.dim, options.kernel) + Cost(0, after.tokens * options.dim)

    def part(self, options: PitEmbedOptions, flow: Flow) -> Part:
        """A PitEmbed."""
        return Part.of(PitEmbed, channels=flow.dim, grid=self.after(options, flow).grid, **options.model_dump())
