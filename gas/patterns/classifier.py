"""Classification head: mean over tokens, layer norm, dropout, linear."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, linear_cost, norm_cost, register


class Classifier(nn.Module):
    """Mean over the tokens, LayerNorm, dropout, linear layer to the classes."""

    def __init__(self, dim: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, classes)."""
        return self.linear(self.dropout(self.norm(x.mean(dim=1))))


class ClassifierOptions(Options):
    """Options of classifier."""

    classes: Annotated[int, Field(gt=0, description="number of classes")] = 1000
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout before the linear layer, in training")] = 0.0


@register("classifier")
class ClassifierPattern(Pattern):
    """Global average over tokens, LayerNorm, linear.

    Source: Hiera, arXiv 2306.00989, and its public code.
    """

    kind = "head"
    Options = ClassifierOptions

    def reads(self, options: ClassifierOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens in any order."""
        return ("tokens", "unrolled")

    def after(self, options: ClassifierOptions, flow: Flow) -> Flow:
        """Class scores."""
        return flow.but(dim=options.classes, grid=(1, 1), layout="vector")

    def cost(self, options: ClassifierOptions, flow: Flow) -> Cost:
        """Norm and linear layer, on one vector."""
        return norm_cost(flow.dim) + linear_cost(1, flow.dim, options.classes)

    def part(self, options: ClassifierOptions, flow: Flow) -> Part:
        """A Classifier."""
        return Part.of(Classifier, dim=flow.dim, classes=options.classes, dropout=options.dropout)
