"""Local attention with queries that are learned, and so the same at every place: two depthwise convolutions."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Width, mixed, refuse_even, register
from gas.patterns.units import strided


class QnaWeights(nn.Module):
    """The weights that learned queries, keys, values and position biases come down to; none depends on the image.

    Args:
        dim: Channels read.
        dim_out: Channels of the queries, and of the values.
        heads: Number of heads (K).
        queries: Number of queries (Q).
        kernel: Side of the field that a place sees.
    """

    def __init__(self, dim: int, dim_out: int, heads: int, queries: int, kernel: int) -> None:
        super().__init__()
        each = dim_out // heads
        self.query = nn.Parameter(torch.empty(queries, heads, each))
        self.key = nn.Parameter(torch.empty(heads, each, dim))
        self.value = nn.Parameter(torch.empty(dim_out, dim))
        self.bias = nn.Parameter(torch.zeros(queries * heads, 1, kernel, kernel))
        self.scale = nn.Parameter(torch.empty(queries * heads, 1, kernel, kernel))
        nn.init.trunc_normal_(self.query, std=each**-0.5, a=-2 * each**-0.5, b=2 * each**-0.5)
        nn.init.normal_(self.key, std=dim**-0.5)
        nn.init.normal_(self.value, std=dim**-0.5)
        nn.init.normal_(self.scale, std=0.02)

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """-> (Q*K + dim_out, dim), (Q*dim_out, 1, kernel, kernel), (Q*K, 1, kernel, kernel).

        These are: what a token's scores and values are read by, what weighs the values, what weighs the scores.
        """
        each = self.query.shape[2]
        query = self.query / (self.query.norm(dim=2, keepdim=True) + 1e-6) * each**-0.5  # (Q, K, D)
        scores = torch.bmm(query.transpose(0, 1), self.key).transpose(0, 1).flatten(0, 1)  # (Q*K, dim)
        below = self.bias.exp()
        above = (below * self.scale).repeat_interleave(each, dim=0)
        return torch.cat([scores, self.value]), above, below

    def folded(self) -> nn.Module:
        """The weights."""
        return FixedWeights(*(weight.detach() for weight in self()))


class FixedWeights(nn.Module):
    """Weights that are not computed any more: see QnaWeights."""

    def __init__(self, project: Tensor, above: Tensor, below: Tensor) -> None:
        super().__init__()
        self.register_buffer("project", project)
        self.register_buffer("above", above)
        self.register_buffer("below", below)

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """-> what it was made with."""
        return self.project, self.above, self.below


class QnaAttention(nn.Module):
    """Softmax attention of learned queries over the field around each place; the queries' results are added up.

    Softmax over a field is one sum of exponentials divided by another, and so one convolution by another.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        grid: (H, W) of the tokens read.
        heads: Number of heads (K); divides dim_out.
        queries: Number of queries (Q).
        kernel: Side of the field, odd; it is cut off at the edges of the grid.
        stride: Step between the places that look.
    """

    last = "proj"

    def __init__(
        self, dim: int, dim_out: int, grid: tuple[int, int], heads: int, queries: int, kernel: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.stride = stride
        self.padding = kernel // 2
        self.scores = queries * heads
        self.shape = (queries, heads, -1)
        self.weights = QnaWeights(dim, dim_out, heads, queries, kernel)
        self.proj = nn.Linear(dim_out, dim_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H*W, dim) -> (B, ceil(H/stride) * ceil(W/stride), dim_out)."""
        project, above, below = self.weights()
        # Channels first from here on: depthwise convolutions are several times faster so.
        x = torch.bmm(project.expand(x.shape[0], -1, -1), x.transpose(1, 2))  # (B, Q*K + dim_out, N)
        scores, values = x.split((self.scores, len(project) - self.scores), dim=1)
        # Any number may be taken off all scores of a head; this one keeps the exponentials from overflowing, and the
        # bound keeps a field far below it from being 0 / 0.
        scores = (scores - scores.amax(2, keepdim=True).detach()).clamp_min(-60.0).exp()  # (B, Q*K, N)
        parts = scores.unflatten(1, self.shape) * values.unflatten(1, (1, self.shape[1], -1))  # (B, Q, K, D, N)
        above = self._summed(parts.flatten(1, 3), above)  # (B, Q, K, D, N')
        below = self._summed(scores, below)  # (B, Q, K, 1, N')
        return self.proj((above / below).sum(1).flatten(1, 2).transpose(1, 2))

    def _summed(self, x: Tensor, weight: Tensor) -> Tensor:
        """(B, Q*K*D, N) -> (B, Q, K, D, N'): a depthwise convolution."""
        x = x.unflatten(2, self.grid)  # (B, Q*K*D, H, W)
        x = F.conv2d(x, weight, stride=self.stride, padding=self.padding, groups=len(weight))
        return x.flatten(2).unflatten(1, self.shape)


def qna_cost(
    grid: tuple[int, int], dim: int, dim_out: int, heads: int, queries: int, kernel: int, stride: int = 1
) -> Cost:
    """Cost of a QnaAttention: its weights once, scores and values, the two convolutions, the last layer."""
    rows, columns = strided(grid, stride)
    places, looking, scores = grid[0] * grid[1], rows * columns, queries * heads
    macs = queries * dim_out * dim + places * dim * (scores + dim_out)
    macs += looking * (kernel**2 * (queries * dim_out + scores) + dim_out**2)
    # Queries; keys, values and the last layer; biases and scales.
    params = queries * dim_out + (2 * dim + dim_out) * dim_out + 2 * kernel**2 * scores
    return Cost(macs, params)


class QnaOptions(Options):
    """Options of every learned-query attention: exactly one of `heads` and `head_dim`."""

    heads: Annotated[int, Field(gt=0, description="number of heads; divides the width")] | None = None
    head_dim: Annotated[int, Field(gt=0, description="channels per head; divides the width"), Width()] | None = None
    queries: Annotated[int, Field(gt=0, description="learned queries per head; their results are added up")] = 2
    kernel: Annotated[int, Field(gt=0, description="side of the field that a place sees, tokens (odd)")] = 3


def qna_heads(options: QnaOptions, dim: int) -> int:
    """Number of heads; DesignError where it does not divide the width, and for an even field."""
    refuse_even(options.kernel)
    if (options.heads is None) == (options.head_dim is None):
        raise DesignError("heads", "expected exactly one of `heads` and `head_dim`")
    name, divisor = ("heads", options.heads) if options.heads else ("head_dim", options.head_dim)
    if dim % divisor:
        raise DesignError(name, f"got {divisor}; expected a divisor of the width {dim}")
    return options.heads or dim // options.head_dim


@register("qna_attention")
class QnaAttentionPattern(Pattern):
    """Each place asks the field around it the same learned questions.

    Source: QnA, arXiv 2112.11435, sections 3.2 and 3.3, and its public code, whose queries are of length 1 in all
    published variants. Differs: the exponentials are kept from overflowing, which changes no result as long as the
    scores of a head differ by less than 60 over a map.
    """

    kind = "token_mixer"
    Options = QnaOptions

    def reads(self, options: QnaOptions, flow: Flow) -> tuple[str, ...]:
        """Tokens, row by row."""
        return ("tokens",)

    def after(self, options: QnaOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        qna_heads(options, flow.target)
        return mixed(flow)

    def cost(self, options: QnaOptions, flow: Flow) -> Cost:
        """See qna_cost."""
        heads = qna_heads(options, flow.dim)
        return qna_cost(flow.grid, flow.dim, flow.dim, heads, options.queries, options.kernel)

    def part(self, options: QnaOptions, flow: Flow) -> Part:
        """A QnaAttention."""
        args = {"heads": qna_heads(options, flow.dim), "queries": options.queries, "kernel": options.kernel}
        return Part.of(QnaAttention, dim=flow.dim, dim_out=flow.dim, grid=flow.grid, **args)
