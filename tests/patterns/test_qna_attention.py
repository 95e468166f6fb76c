from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import PATTERNS, Flow
from gas.patterns.qna_attention import QnaAttention

PATTERN, ENTRY = PATTERNS.get("qna_attention"), PATTERNS.get("qna_downsample")


def by_definition(module: nn.Module, x: Tensor, kernel: int) -> Tensor:
    """One image (N, C), place by place: softmax over the field, weighted by what is learned for each offset."""
    held, (rows, columns) = module.weights, module.grid
    queries, heads, each = held.query.shape
    out = []
    for row, column in product(range(0, rows, module.stride), range(0, columns, module.stride)):
        result = torch.zeros(heads, each, dtype=x.dtype)
        for query, head in product(range(queries), range(heads)):
            asked = held.query[query, head]
            asked = asked / (asked.norm() + 1e-6) / each**0.5
            scores, values = [], []
            for down, right in product(range(kernel), range(kernel)):
                i, j = row + down - kernel // 2, column + right - kernel // 2
                if not (0 <= i < rows and 0 <= j < columns):
                    continue  # the field is cut off at the edges
                token, which = x[i * columns + j], query * heads + head
                scores.append(asked @ (held.key[head] @ token) + held.bias[which, 0, down, right])
                value = (held.value @ token)[head * each : (head + 1) * each]
                values.append(held.scale[which, 0, down, right] * value)
            result[head] += torch.stack(scores).softmax(0) @ torch.stack(values)
        out.append(module.proj(result.flatten()))
    return torch.stack(out)


def attention(**options: Any) -> nn.Module:
    """A double-precision attention with random weights, those included that begin at 0."""
    torch.manual_seed(0)
    module = QnaAttention(**options).double().eval()
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module


@pytest.mark.parametrize(("kernel", "stride", "queries"), [(3, 1, 2), (5, 1, 1), (3, 2, 3), (1, 1, 2), (3, 3, 2)])
def test_equals_softmax_over_each_field(kernel: int, stride: int, queries: int) -> None:
    module = attention(dim=6, dim_out=8, grid=(4, 5), heads=2, queries=queries, kernel=kernel, stride=stride)
    x = torch.randn(2, 20, 6, dtype=torch.float64)
    with torch.no_grad():
        wanted = torch.stack([by_definition(module, image, kernel) for image in x])
        torch.testing.assert_close(module(x), wanted)
        torch.testing.assert_close(fuse(module)(x), wanted)


def test_great_scores_stay_finite_and_right() -> None:
    module = attention(dim=4, dim_out=4, grid=(3, 3), heads=1, queries=1, kernel=3)
    x = torch.randn(1, 9, 4, dtype=torch.float64)
    with torch.no_grad():
        project, _, _ = module.weights()
        spread = (x @ project[0]).abs().max()
        x = x * 25 / spread  # scores from -25 to 25: as singles, exponentials of 100 and more would be infinite
        up = project[0] / project[0].square().sum() * 900
        torch.testing.assert_close(module(x), by_definition(module, x[0], 3)[None])
        shifted = module.float()((x + up).float())  # all scores 900 higher
        assert shifted.isfinite().all()
        # What a shift of the tokens does to the values is another matter, so the definition reads them shifted too.
        wanted = by_definition(module.double(), x[0] + up, 3)
        torch.testing.assert_close(shifted[0].double(), wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max().item())
        assert module.float()(100 * x.float()).isfinite().all()  # where the bound holds


def test_downsampling_is_a_shortcut_and_attention_of_the_normed_tokens() -> None:
    flow = Flow(4, (5, 4), "tokens", target=6, scale=2)
    options = ENTRY.Options(heads=3)
    module = ENTRY.part(options, flow).build().double().eval()
    x = torch.randn(1, 20, 4, dtype=torch.float64)
    after = ENTRY.after(options, flow)
    assert (after.grid, after.dim, after.scale) == ((3, 2), 6, 4)
    with torch.no_grad():
        kept = torch.stack([x[0, 4 * row + column] for row in (0, 2, 4) for column in (0, 2)])
        wanted = kept @ module.shortcut.weight.T + by_definition(module.attention, module.norm(x)[0], 3)
        torch.testing.assert_close(module(x)[0], wanted)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"heads": 3}, "heads: got 3; expected a divisor of the width 4"),
        ({"head_dim": 3}, "head_dim: got 3; expected a divisor of the width 4"),
        ({}, "expected exactly one of `heads` and `head_dim`"),
        ({"heads": 2, "head_dim": 2}, "expected exactly one of `heads` and `head_dim`"),
        ({"heads": 2, "kernel": 2}, "kernel: got 2; expected an odd number"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict[str, Any], problem: str) -> None:
    for pattern in (PATTERN, ENTRY):
        with pytest.raises(DesignError, match=problem):
            pattern.after(pattern.Options(**options), Flow(4, (4, 4), "tokens", target=4))
