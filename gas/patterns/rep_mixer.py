"""A reparameterised depthwise convolution as token mixer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, mixed, refuse_even, register
from gas.patterns.folding import centred, conv_from, norm_affine
from gas.patterns.reparam import RepConv, mobile_one, rep_conv_cost


class RepMixer(nn.Module):
    """Depthwise MobileOne unit less a batch norm of its input; one depthwise convolution once folded.

    Args:
        mixer: The unit, without activation.
        dim: Channels.
    """

    def __init__(self, mixer: RepConv, dim: int) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.mixer(x) - self.norm(x)

    def folded(self) -> nn.Module:
        """The unit's convolution with the norm taken off its middle."""
        scale, shift = norm_affine(self.norm)
        weight = self.mixer.weight.detach() - centred(scale, 1, self.mixer.kernel_size[0])
        return conv_from(weight, self.mixer.bias.detach() - shift, groups=len(weight))


class RepMixerOptions(Options):
    """Options of rep_mixer."""

    kernel: Annotated[int, Field(gt=0, description="side of the convolution, tokens (odd)")] = 3
    scale: Annotated[bool, Field(description="a 1 x 1 convolution beside it, while training")] = True


@register("rep_mixer")
class RepMixerPattern(Pattern):
    """Depthwise convolution that, in a block with `norm: none`, folds with shortcut and layer scale into one.

    Source: FastViT, arXiv 2303.14189, section 3.2.1. Differs: as in its public code, what the branch gives is the unit
    less the norm, and both norms read the block's input.
    """

    kind = "token_mixer"
    Options = RepMixerOptions

    def after(self, options: RepMixerOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        refuse_even(options.kernel)
        return mixed(flow)

    def cost(self, options: RepMixerOptions, flow: Flow) -> Cost:
        """The unit's branches and the norm."""
        return rep_conv_cost(self._unit(options, flow), flow.grid) + Cost(0, 2 * flow.dim)

    def part(self, options: RepMixerOptions, flow: Flow) -> Part:
        """A RepMixer."""
        return Part.of(RepMixer, mixer=self._unit(options, flow), dim=flow.dim)

    def _unit(self, options: RepMixerOptions, flow: Flow) -> Part:
        return mobile_one(flow.dim, flow.dim, options.kernel, groups=flow.dim, scale=options.scale)
