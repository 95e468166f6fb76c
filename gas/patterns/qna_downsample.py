"""A stage is entered by learned-query attention with a step, and a 1 x 1 convolution with the same step beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gas.patterns.base import Cost, Flow, Part, Pattern, linear_cost, norm_cost, register
from gas.patterns.qna_attention import QnaAttention, QnaOptions, qna_cost, qna_heads
from gas.patterns.units import strided


class QnaDownsample(nn.Module):
    """shortcut(x) + attention(norm(x)), both from every stride-th place of each row and column.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        grid: (H, W) of the tokens read.
        stride: Step between the places that look.
        attention: Reads the normed tokens.
        eps: Of the layer norm.
    """

    def __init__(
        self, dim: int, dim_out: int, grid: tuple[int, int], stride: int, attention: nn.Module, eps: float
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.stride = stride
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.attention = attention
        self.shortcut = nn.Linear(dim, dim_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H*W, dim) -> (B, ceil(H/stride) * ceil(W/stride), dim_out)."""
        kept = x.unflatten(1, self.grid)[:, :: self.stride, :: self.stride].flatten(1, 2)  # (B, N', dim)
        return self.shortcut(kept) + self.attention(self.norm(x))


class QnaDownsampleOptions(QnaOptions):
    """Options of qna_downsample; heads are those of the new width."""

    stride: Annotated[int, Field(gt=0, description="step, tokens; the grid is rounded up")] = 2
    eps: Annotated[float, Field(gt=0, description="eps of the norm")] = 1e-6


@register("qna_downsample")
class QnaDownsamplePattern(Pattern):
    """Learned-query attention that widens and thins out the tokens.

    Source: QnA, arXiv 2112.11435, section 3.4, and its public code. There the block ends with a channel mixer, which is
    a block of the stage here: a `transformer` without a token mixer.
    """

    kind = "entry"
    Options = QnaDownsampleOptions

    def reads(self, options: QnaDownsampleOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def after(self, options: QnaDownsampleOptions, flow: Flow) -> Flow:
        """New width, smaller grid."""
        qna_heads(options, flow.target)
        grid = strided(flow.grid, options.stride)
        return flow.but(dim=flow.target, grid=grid, scale=flow.scale * options.stride)

    def cost(self, options: QnaDownsampleOptions, flow: Flow) -> Cost:
        """Norm, attention, shortcut."""
        rows, columns = strided(flow.grid, options.stride)
        heads = qna_heads(options, flow.target)
        total = qna_cost(
            flow.grid, flow.dim, flow.target, heads, options.queries, options.kernel, options.stride
        ) + norm_cost(flow.dim)
        return total + linear_cost(rows * columns, flow.dim, flow.target, bias=False)

    def part(self, options: QnaDownsampleOptions, flow: Flow) -> Part:
        """A QnaDownsample."""
        args = {"dim": flow.dim, "dim_out": flow.target, "grid": flow.grid, "stride": options.stride}
        more = {"queries": options.queries, "kernel": options.kernel}
        attention = Part.of(QnaAttention, heads=qna_heads(options, flow.target), **args, **more)
        return Part.of(QnaDownsample, **args, attention=attention, eps=options.eps)
