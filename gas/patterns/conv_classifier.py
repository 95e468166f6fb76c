"""Classification head for maps: a 1 x 1 convolution widens, then the mean over all places, then linear layers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, linear_cost, register
from gas.patterns.units import ACTIVATIONS, Activation, ConvNorm, conv_norm_cost


class ConvClassifier(nn.Module):
    """1 x 1 convolution with norm and activation, mean over the map, an optional hidden layer, dropout, linear.

    Args:
        conv: Widens the map.
        dim: Channels before the last linear layer.
        classes: Number of classes.
        dropout: Before the last linear layer, in training.
        hidden: Linear layer and activation behind the mean; None for nothing.
    """

    def __init__(
        self, conv: nn.Module, dim: int, classes: int, dropout: float = 0.0, hidden: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.hidden = nn.Identity() if hidden is None else hidden
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes)."""
        x = self.conv(x).mean((2, 3))  # (B, C)
        return self.linear(self.dropout(self.hidden(x)))


class ConvClassifierOptions(Options):
    """Options of conv_classifier."""

    dim: Annotated[int, Field(gt=0, description="width of the 1 x 1 convolution"), Width()]
    classes: Annotated[int, Field(gt=0, description="number of classes")] = 1000
    hidden: (
        Annotated[int, Field(gt=0, description="width of a layer behind the mean; null for none"), Width()] | None
    ) = None
    act: Annotated[Activation, Field(description="activation of the convolution and of the hidden layer")] = "silu"
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout before the last layer, in training")] = 0.0
    eps: Annotated[float, Field(gt=0, description="eps of the norm")] = 1e-5
    bias: Annotated[bool, Field(description="the convolution has a bias beside the norm's")] = False


@register("conv_classifier")
class ConvClassifierPattern(Pattern):
    """The map is widened before its mean is taken, and classified by one linear layer, or by two.

    Source: EfficientNet, arXiv 1905.11946, table 1, and MobileViT, arXiv 2110.02178; with a hidden layer behind the
    mean, MobileNetV3, arXiv 1905.02244, section 5.1; with a bias, CMT's public code.
    """

    kind = "head"
    Options = ConvClassifierOptions

    def after(self, options: ConvClassifierOptions, flow: Flow) -> Flow:
        """Class scores."""
        return flow.but(dim=options.classes, grid=(1, 1), layout="vector")

    def cost(self, options: ConvClassifierOptions, flow: Flow) -> Cost:
        """Convolution on the map, linear layers on one vector."""
        total, dim = conv_norm_cost(flow.grid, flow.dim, options.dim, bias=options.bias), options.dim
        if options.hidden is not None:
            total, dim = total + linear_cost(1, dim, options.hidden), options.hidden
        return total + linear_cost(1, dim, options.classes)

    def part(self, options: ConvClassifierOptions, flow: Flow) -> Part:
        """A ConvClassifier."""
        dim, hidden = options.dim, None
        if options.hidden is not None:
            layers = [Part.of(nn.Linear, in_features=dim, out_features=options.hidden)]
            hidden, dim = Part(nn.Sequential, {"": [*layers, Part.of(ACTIVATIONS[options.act])]}), options.hidden
        args = {"dim_out": options.dim, "act": options.act, "bias": options.bias, "eps": options.eps}
        conv = Part.of(ConvNorm, dim=flow.dim, **args)
        args = {"dim": dim, "classes": options.classes, "dropout": options.dropout, "hidden": hidden}
        return Part.of(ConvClassifier, conv=conv, **args)
