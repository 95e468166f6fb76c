"""The transformer's channel mixer: two linear layers with an activation between them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Options, Part, Pattern, hidden_width, linear_cost, register
from gas.patterns.units import Activation, activation


class Mlp(nn.Module):
    """Linear C -> hidden, activation, linear hidden -> C; biased."""

    first, last = "fc1", "fc2"

    def __init__(self, dim: int, hidden: int, act: str = "gelu") -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = activation(act)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return self.fc2(self.act(self.fc1(x)))


class MlpOptions(Options):
    """Options of mlp."""

    ratio: Annotated[float, Field(gt=0, le=16, description="hidden width as a multiple of the block's width")] = 4.0
    act: Annotated[Activation, Field(description="activation in between")] = "gelu"


@register("mlp")
class MlpPattern(Pattern):
    """Two biased linear layers with an activation between them.

    Source: Vaswani et al., arXiv 1706.03762, section 3.3, with GELU as in ViT, arXiv 2010.11929; with SiLU as in
    MobileViT, arXiv 2110.02178.
    """

    kind = "channel_mixer"
    Options = MlpOptions
    class_tokens = True

    def reads(self, options: MlpOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens in any order."""
        return ("tokens", "unrolled", "windows", "set")

    def after(self, options: MlpOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        hidden_width(flow.dim, options.ratio)
        return flow

    def cost(self, options: MlpOptions, flow: Flow) -> Cost:
        """Two linear layers over all tokens."""
        hidden = hidden_width(flow.dim, options.ratio)
        return linear_cost(flow.tokens, flow.dim, hidden) + linear_cost(flow.tokens, hidden, flow.dim)

    def part(self, options: MlpOptions, flow: Flow) -> Part:
        """An Mlp."""
        act = {} if options.act == "gelu" else {"act": options.act}
        return Part.of(Mlp, dim=flow.dim, hidden=hidden_width(flow.dim, options.ratio), **act)
