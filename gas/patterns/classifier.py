"""Classification head: the tokens' mean or the class token, a norm, a linear layer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, linear_cost, norm_cost, register
from gas.patterns.folding import norm_into
from gas.patterns.units import ACTIVATIONS, Activation


class Classifier(nn.Module):
    """Tokens to one vector, norm, an optional hidden layer, dropout, one or two linear layers to the classes.

    Args:
        dim: Width of the tokens.
        classes: Number of classes.
        dropout: Before the linear layer, in training.
        norm: Of the vector, or of the tokens before; None for none.
        norm_first: The norm is over each token, before their mean is taken.
        class_token: The first token is read in place of the mean.
        hidden: Linear layer, activation and perhaps a norm between the vector and the classes; None for nothing.
        both: A second linear layer, trained on a teacher's answers; their mean is given.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        dropout: float = 0.0,
        norm: nn.Module | None = None,
        norm_first: bool = False,
        class_token: bool = False,
        hidden: nn.Module | None = None,
        both: bool = False,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.class_token = class_token
        self.norm = nn.Identity() if norm is None else norm
        self.hidden = nn.Identity() if hidden is None else hidden
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, classes)
        self.teacher = nn.Linear(dim, classes) if both else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, classes)."""
        if self.norm_first:
            x = self.norm(x)
        x = x[:, 0] if self.class_token else x.mean(dim=1)  # (B, C)
        if not self.norm_first:
            x = self.norm(x)
        x = self.dropout(self.hidden(x))
        return self.linear(x) if self.teacher is None else (self.linear(x) + self.teacher(x)) / 2

    def folded(self) -> nn.Module:
        """A batch norm goes into the layer behind it, and two last layers become one, their mean."""
        if isinstance(self.teacher, nn.Linear):
            for name in ("weight", "bias"):
                both = [getattr(layer, name).detach() for layer in (self.linear, self.teacher)]
                setattr(self.linear, name, nn.Parameter(sum(both) / 2))
        self.teacher = None  # where both have been put away for pooled features, they give the same
        self.norm = norm_into(self.norm, self.linear if isinstance(self.hidden, nn.Identity) else self.hidden)
        return self


class ClassifierOptions(Options):
    """Options of classifier."""

    classes: Annotated[int, Field(gt=0, description="number of classes")] = 1000
    dropout: Annotated[float, Field(ge=0, lt=1, description="dropout before the linear layer, in training")] = 0.0
    token: Annotated[
        Literal["mean", "class"], Field(description="what is classified: the tokens' mean, or the class token")
    ] = "mean"
    norm: Annotated[Literal["layer", "batch", "none"], Field(description="norm of what is classified")] = "layer"
    norm_first: Annotated[bool, Field(description="the norm is of each token, before their mean (layer norm)")] = False
    eps: Annotated[float, Field(gt=0, description="eps of the norm; null for the kind's usual one")] | None = None
    hidden: (
        Annotated[float, Field(gt=0, description="a hidden layer as wide as this times the width; null for none")]
        | None
    ) = None
    act: Annotated[Activation, Field(description="activation of the hidden layer")] = "gelu"
    hidden_norm: Annotated[bool, Field(description="a layer norm behind the hidden layer's activation")] = False
    hidden_eps: Annotated[float, Field(gt=0, description="eps of that norm")] = 1e-6
    both: Annotated[bool, Field(description="a second layer, for distillation; the mean of both is given")] = False


@register("classifier")
class ClassifierPattern(Pattern):
    """Global average over tokens (or the class token), norm, linear.

    Source: mean, layer norm, linear: Hiera, arXiv 2306.00989, and its public code; class token: ViT, arXiv 2010.11929;
    batch norm: EfficientViT, arXiv 2305.07027; two layers: the distillation of DeiT, arXiv 2012.12877, section 3.
    Differs: a batch norm is of the mean; codes that norm the map before it (FasterViT, SwiftFormer) compute the same in
    inference, with other statistics in training.
    """

    kind = "head"
    Options = ClassifierOptions
    class_tokens = True

    def reads(self, options: ClassifierOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens in any order."""
        return ("tokens", "unrolled", "set")

    def after(self, options: ClassifierOptions, flow: Flow) -> Flow:
        """Class scores."""
        if options.token == "class" and not flow.extra:
            raise DesignError("token", "got class, but no class token comes in; expected mean")
        if options.norm_first and options.norm == "batch":
            raise DesignError("norm_first", "got true with a batch norm; expected a layer norm")
        if options.hidden is not None:
            hidden_width(flow.dim, options.hidden, "hidden")
        return flow.but(dim=options.classes, grid=(1, 1), layout="vector", extra=0)

    def cost(self, options: ClassifierOptions, flow: Flow) -> Cost:
        """Norm and layers, on one vector."""
        total, dim = Cost(), flow.dim
        if options.norm != "none":
            total += norm_cost(dim)
        if options.hidden is not None:
            dim = hidden_width(flow.dim, options.hidden, "hidden")
            total += linear_cost(1, flow.dim, dim)
            total += norm_cost(dim) if options.hidden_norm else Cost()
        return total + linear_cost(1, dim, options.classes) * (1 + options.both)

    def part(self, options: ClassifierOptions, flow: Flow) -> Part:
        """A Classifier."""
        dim, hidden = flow.dim, None
        if options.hidden is not None:
            dim = hidden_width(flow.dim, options.hidden, "hidden")
            layers = [Part.of(nn.Linear, in_features=flow.dim, out_features=dim), Part.of(ACTIVATIONS[options.act])]
            if options.hidden_norm:
                layers.append(Part.of(nn.LayerNorm, normalized_shape=dim, eps=options.hidden_eps))
            hidden = Part(nn.Sequential, {"": layers})
        norm = None
        if options.norm == "layer":
            norm = Part.of(nn.LayerNorm, normalized_shape=flow.dim, eps=options.eps or 1e-6)
        if options.norm == "batch":
            norm = Part.of(nn.BatchNorm1d, num_features=flow.dim, eps=options.eps or 1e-5)
        args = {"norm": norm, "norm_first": options.norm_first, "hidden": hidden}
        args |= {"class_token": options.token == "class", "both": options.both}
        return Part.of(Classifier, dim=dim, classes=options.classes, dropout=options.dropout, **args)
