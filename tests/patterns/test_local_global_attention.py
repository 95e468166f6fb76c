from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Flow
from gas.patterns.attention_downsample import AttentionDownsample
from gas.patterns.base import nested
from gas.patterns.local_global_attention import LocalGlobalAttention


def made(flow: Flow, pattern: str = "local_global_attention", **options) -> nn.Module:
    found, typed = nested(Spec.of(pattern, **options))
    found.after(typed, flow)
    module = found.part(typed, flow).build().eval().double()
    generator = torch.Generator().manual_seed(0)
    for tensor in [*module.parameters(), *(b for n, b in module.named_buffers() if n.endswith("running_mean"))]:
        tensor.data = 0.5 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return module


def scores_by_definition(module: nn.Module, q: Tensor, k: Tensor, queries: list, grid: tuple) -> Tensor:
    """(K, queries, N): place by place, with the bias for how far apart the two are."""
    heads = module.heads
    q, k = (x[0].flatten(1).unflatten(0, (heads, -1)) for x in (q, k))  # (K, D, places)
    places = list(itertools.product(range(grid[0]), range(grid[1])))
    scores = torch.zeros(heads, len(queries), len(places), dtype=q.dtype)
    for head in range(heads):
        for i, a in enumerate(queries):
            for j, b in enumerate(places):
                distance = abs(a[0] - b[0]) * grid[1] + abs(a[1] - b[1])
                product = q[head, :, i] @ k[head, :, j] / math.sqrt(q.shape[1])
                scores[head, i, j] = product + module.position.table[head, distance]
    return scores


def values_by_definition(weights: Tensor, v: Tensor, shape: tuple[int, int]) -> Tensor:
    """(K, queries, N), (1, K*D, H, W) -> (1, K*D, *shape)."""
    v = v[0].flatten(1).unflatten(0, (len(weights), -1))  # (K, D, N)
    return torch.einsum("kqn,kdn->kdq", weights, v).flatten(0, 1).unflatten(1, shape)[None]


@pytest.mark.parametrize("talking", [True, False])
@pytest.mark.parametrize(("grid", "stride"), [((3, 4), 1), ((4, 6), 2)])
def test_equals_attention_place_by_place(grid: tuple[int, int], stride: int, talking: bool) -> None:
    options = {"heads": 2, "key_dim": 4, "value_ratio": 1.5, "stride": stride, "talking_heads": talking}
    module = made(Flow(6, grid, "map", 6), **options)
    assert isinstance(module, LocalGlobalAttention)
    x = torch.randn(1, 6, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    small = (grid[0] // stride, grid[1] // stride)
    with torch.inference_mode():
        y = module.reduce(x)
        queries = list(itertools.product(range(small[0]), range(small[1])))
        weights = scores_by_definition(module, module.q(y), module.k(y), queries, small)
        if talking:  # every head's scores are a mixture of all heads'
            mix = module.talk1
            weights = torch.einsum("hk,kqn->hqn", mix.weight[:, :, 0, 0], weights) + mix.bias[:, None, None]
        weights = weights.softmax(-1)
        if talking:
            mix = module.talk2
            weights = torch.einsum("hk,kqn->hqn", mix.weight[:, :, 0, 0], weights) + mix.bias[:, None, None]
        v = module.v(y)
        z = values_by_definition(weights, v, small) + module.local(v)
        if stride > 1:
            z = nn.Upsample(scale_factor=stride, mode="bilinear")(z)
        wanted = module.proj(nn.functional.gelu(z))
        assert wanted.shape == x.shape
        assert torch.allclose(module(x), wanted, atol=1e-10)
        assert torch.allclose(fuse(module)(x), wanted, atol=1e-10)


@pytest.mark.parametrize("grid", [(4, 4), (5, 3)])
def test_the_downsampling_equals_attention_from_every_other_place(grid: tuple[int, int]) -> None:
    module = made(Flow(6, grid, "map", 10), "attention_downsample", heads=2, key_dim=3, value_ratio=2.0)
    assert isinstance(module, AttentionDownsample)
    x = torch.randn(1, 6, *grid, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    queries = list(itertools.product(range(0, grid[0], 2), range(0, grid[1], 2)))
    small = (-(-grid[0] // 2), -(-grid[1] // 2))
    with torch.inference_mode():
        near = module.near(x)
        every_other = torch.stack([x[:, :, row, column] for row, column in queries], dim=2).unflatten(2, small)
        scores = scores_by_definition(module, module.q(near + every_other), module.k(x), queries, grid)
        v = module.v(x)
        z = values_by_definition(scores.softmax(-1), v, small) + module.local(v)
        wanted = module.conv(x) + module.proj(nn.functional.gelu(z))
        assert wanted.shape == (1, 10, *small)
        assert torch.allclose(module(x), wanted, atol=1e-10)
        assert torch.allclose(fuse(module)(x), wanted, atol=1e-10)


def test_folded_it_has_one_convolution_to_queries_keys_and_values() -> None:
    flow = Flow(8, (4, 4), "map", 8)
    whole = fuse(made(flow, heads=2, key_dim=4))
    assert sum(isinstance(m, nn.Conv2d) for m in whole.modules()) == 5  # all three, local, two mixtures, proj
    entry = fuse(made(flow, "attention_downsample", heads=2, key_dim=4))
    assert sum(isinstance(m, nn.Conv2d) for m in entry.modules()) == 6  # conv, near, q, both others, local, proj


FLOW = Flow(8, (6, 9), "map", 8)


@pytest.mark.parametrize(
    ("pattern", "flow", "options", "where", "problem"),
    [
        ("local_global_attention", FLOW, {"kernel": 2}, "kernel", "got 2; expected an odd number"),
        ("local_global_attention", FLOW, {"stride": 2}, "stride", "got 2; expected a divisor of the grid's side 9"),
        (
            "local_global_attention",
            FLOW,
            {"key_dim": 1, "value_ratio": 0.5},
            "value_ratio",
            "got 0.5; expected one that",
        ),
        ("local_global_attention", FLOW.but(target=4), {}, "", "keeps the width; got 8 coming in and 4 wanted"),
        ("attention_downsample", FLOW, {"kernel": 2}, "kernel", "got 2; expected an odd number"),
        ("attention_downsample", FLOW, {"key_dim": 1, "value_ratio": 0.5}, "value_ratio", "got 0.5; expected one that"),
    ],
)
def test_where_it_cannot_stand(pattern: str, flow: Flow, options: dict, where: str, problem: str) -> None:
    with pytest.raises(DesignError) as caught:
        made(flow, pattern, **options)
    assert caught.value.where == where
    assert caught.value.problem.startswith(problem)
