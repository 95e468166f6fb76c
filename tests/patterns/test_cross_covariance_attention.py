"""cross_covariance_attention against its definition, channel by channel."""

from __future__ import annotations

import pytest
import torch

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.base import nested

FLOW = Flow(6, (3, 5), "tokens", target=6)


def build(**options: object) -> torch.nn.Module:
    pattern, typed = nested(Spec.of("cross_covariance_attention", **options))
    torch.manual_seed(0)
    module = pattern.part(typed, FLOW).build().double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("similarity", ["cosine", "scaled"])
@pytest.mark.parametrize(("inner", "width"), [(None, 6), (8, 8)])
def test_each_channel_is_a_mean_of_its_heads_channels(
    similarity: str, transposed: bool, inner: int | None, width: int
) -> None:
    module = build(heads=2, inner=inner, similarity=similarity, transposed=transposed)
    x = torch.randn(2, 15, 6, dtype=torch.float64)
    qkv = x @ module.qkv.weight.T + module.qkv.bias
    size = width // 2
    mixed = torch.zeros(2, 15, width, dtype=torch.float64)
    for image in range(2):
        for head in range(2):
            at = head * size
            q, k, v = (qkv[image, :, part * width + at : part * width + at + size] for part in range(3))  # (N, D)
            scores = torch.empty(size, size, dtype=torch.float64)
            for i in range(size):
                for j in range(size):
                    product = (q[:, i] * k[:, j]).sum()
                    if similarity == "cosine":
                        product = product / (q[:, i].norm() * k[:, j].norm()) * module.temperature[head, 0, 0]
                    else:
                        product = product / size**0.5
                    scores[i, j] = product
            weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
            for i in range(size):
                for j in range(size):
                    to, source = (j, i) if transposed else (i, j)
                    mixed[image, :, at + to] += weights[i, j] * v[:, source]
    assert torch.allclose(module(x), mixed @ module.proj.weight.T + module.proj.bias, atol=1e-10)


def test_the_order_of_the_tokens_does_not_matter() -> None:
    module, order = build(heads=3), torch.randperm(15)
    x = torch.randn(1, 15, 6, dtype=torch.float64)
    assert torch.allclose(module(x[:, order]), module(x)[:, order], atol=1e-12)


def test_a_temperature_is_learned_only_with_the_cosine() -> None:
    assert build(heads=2).temperature.shape == (2, 1, 1)
    assert build(heads=2, similarity="scaled").temperature is None


@pytest.mark.parametrize(
    ("options", "where"),
    [({}, "heads"), ({"heads": 2, "head_dim": 3}, "heads"), ({"heads": 4}, "heads"), ({"head_dim": 4}, "head_dim")],
)
def test_refuses(options: dict, where: str) -> None:
    pattern, typed = nested(Spec.of("cross_covariance_attention", **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, FLOW)
    assert caught.value.where == where
