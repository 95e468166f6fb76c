from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import PATTERNS, Flow

PATTERN = PATTERNS.get("reduced_attention")


def by_definition(module: nn.Module, x: Tensor, grid: tuple[int, int], stride: int) -> Tensor:
    """One image (N, C): the map reduced patch by patch, then attention token by token."""
    reduced = x
    if stride > 1:
        held, patches = module.reduction, []
        for top in range(0, grid[0], stride):
            for left in range(0, grid[1], stride):
                total = held.conv.bias.clone()
                for i in range(stride):
                    for j in range(stride):
                        total += held.conv.weight[:, 0, i, j] * x[(top + i) * grid[1] + left + j]
                norm = held.norm
                scaled = (total - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
                patches.append(scaled * norm.weight + norm.bias)
        reduced = torch.stack(patches)
    k, v = (t.unflatten(1, (module.heads, -1)) for t in module.kv(reduced).chunk(2, dim=1))  # (M, K, D)
    rows = []
    for number, token in enumerate(x):
        q = module.q(token).view(module.heads, -1)
        scores = (q * k).sum(-1) / q.shape[1] ** 0.5  # (M, K)
        if module.bias is not None:
            scores = scores + module.bias[0, :, number].T
        rows.append((scores.softmax(0)[..., None] * v).sum(0).flatten())
    return module.proj(torch.stack(rows))


@pytest.mark.parametrize(
    ("stride", "options"), [(1, {}), (2, {}), (3, {}), (2, {"position": "none", "inner": 8, "qkv_bias": False})]
)
def test_equals_its_definition_token_by_token(stride: int, options: dict[str, Any]) -> None:
    grid = (2 * stride, 3 * stride)
    flow = Flow(4, grid, "tokens", target=4)
    torch.manual_seed(0)
    module = PATTERN.part(PATTERN.Options(heads=2, stride=stride, **options), flow).build().double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if name.endswith("running_var") else torch.randn_like(tensor))
    x = torch.randn(2, grid[0] * grid[1], 4, dtype=torch.float64)
    with torch.no_grad():
        wanted = torch.stack([by_definition(module, image, grid, stride) for image in x])
        torch.testing.assert_close(module(x), wanted)
        folded = fuse(module)
        torch.testing.assert_close(folded(x), wanted)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())


def test_keys_get_fewer_with_the_square_of_the_stride() -> None:
    flow = Flow(8, (8, 8), "tokens", target=8)
    one, four = (PATTERN.cost(PATTERN.Options(heads=2, stride=s), flow).macs for s in (1, 4))
    assert one == 4 * 64 * 8 * 8 + 2 * 64 * 64 * 8
    assert four == (2 * 64 + 2 * 4) * 8 * 8 + 2 * 64 * 4 * 8 + 64 * 8


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"heads": 2, "stride": 3}, "stride: got 3; expected a divisor of the grid's side 4"),
        ({"heads": 3}, "heads: got 3; expected a divisor of the width 4"),
        ({"stride": 2}, "expected exactly one of `heads` and `head_dim`"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        PATTERN.after(PATTERN.Options(**options), Flow(4, (4, 4), "tokens", target=4))
