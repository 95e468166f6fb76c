"""Classification head behind one more reparameterised convolution, which widens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, linear_cost, refuse_even, register
from gas.patterns.reparam import RepConv, mobile_one, rep_conv_cost
from gas.patterns.units import Activation


class RepClassifier(nn.Module):
    """Depthwise convolution to more channels, mean over the map, dropout, linear layer.

    Args:
        expand: The convolution, with squeeze-excite and activation.
        dim: Channels behind it.
        classes: Number of classes.
        dropout: Before the linear layer, in training.
    """

    def __init__(self, expand: RepConv, dim: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand = expand
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes)."""
        return self.linear(self.dropout(self.expand(x).mean((2, 3))))


class RepClassifierOptions(Options):
    """Options of rep_classifier."""

    classes: Annotated[int, Field(gt=0, description="number of classes")] = 1000
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout before the linear layer, in training")] = 0.0
    ratio: Annotated[int, Field(gt=0, le=16, description="width behind the convolution, as a multiple")] = 2
    kernel: Annotated[int, Field(gt=0, description="side of the convolution, tokens (odd)")] = 3
    squeeze: (
        Annotated[float, Field(gt=0, le=1, description="squeeze-excite behind it, hidden share; null for none")] | None
    ) = 1 / 16
    act: Annotated[Activation, Field(description="activation behind the convolution")] = "gelu"


@register("rep_classifier")
class RepClassifierPattern(Pattern):
    """Depthwise MobileOne unit with squeeze-excite, mean, linear.

    Source: FastViT's public code (apple/ml-fastvit); arXiv 2303.14189 does not describe its head.
    """

    kind = "head"
    Options = RepClassifierOptions

    def after(self, options: RepClassifierOptions, flow: Flow) -> Flow:
        """Class scores."""
        refuse_even(options.kernel)
        return flow.but(dim=options.classes, grid=(1, 1), layout="vector", extra=0)

    def cost(self, options: RepClassifierOptions, flow: Flow) -> Cost:
        """The unit's branches, squeeze-excite, and the linear layer on one vector."""
        return rep_conv_cost(self._unit(options, flow), flow.grid) + linear_cost(
            1, flow.dim * options.ratio, options.classes
        )

    def part(self, options: RepClassifierOptions, flow: Flow) -> Part:
        """A RepClassifier."""
        args = {"dim": flow.dim * options.ratio, "classes": options.classes, "dropout": options.dropout}
        return Part.of(RepClassifier, expand=self._unit(options, flow), **args)

    def _unit(self, options: RepClassifierOptions, flow: Flow) -> Part:
        dim = flow.dim * options.ratio
        squeeze = 0 if options.squeeze is None else max(1, round(dim * options.squeeze))
        return mobile_one(flow.dim, dim, options.kernel, groups=flow.dim, squeeze=squeeze, act=options.act)
