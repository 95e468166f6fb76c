from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from zoo.pairing import randomise

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Flow
from gas.patterns.additive_attention import AdditiveAttention
from gas.plan import place


def trained(module: nn.Module) -> nn.Module:
    """Any weights, in double precision."""
    randomise(module, seed=0)
    return module.eval().double()


def unit(vector: Tensor) -> Tensor:
    return vector / vector.square().sum().sqrt()


def mixed(attention: AdditiveAttention, tokens: Tensor) -> Tensor:
    """One image's tokens (N, C), token by token."""
    queries = [unit(attention.query.weight @ token + attention.query.bias) for token in tokens]
    keys = [unit(attention.key.weight @ token + attention.key.bias) for token in tokens]
    shares = unit(torch.stack([query @ attention.weight[:, 0] for query in queries]))
    summed = sum(share * query for share, query in zip(shares, queries, strict=True))
    out = []
    for query, key in zip(queries, keys, strict=True):
        inner = attention.proj.weight @ (summed * key) + attention.proj.bias + query
        out.append(attention.out.weight @ inner + attention.out.bias)
    return torch.stack(out)


@pytest.mark.parametrize("inner", [6, 4])
def test_it_is_what_its_definition_says(inner: int) -> None:
    attention = trained(AdditiveAttention(6, inner))
    x = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.stack([mixed(attention, tokens) for tokens in x])
    assert torch.allclose(attention(x), wanted, atol=1e-12)


def test_tokens_may_come_in_any_order() -> None:
    attention = trained(AdditiveAttention(6, 6))
    x = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.allclose(attention(x[:, order]), attention(x)[:, order], atol=1e-12)


def test_macs_grow_with_the_tokens_and_not_with_their_square() -> None:
    costs = [place(Spec.of("additive_attention"), Flow(8, (side, side), "tokens", 8))[0] for side in (4, 8)]
    assert costs[1].macs == 4 * costs[0].macs
    # Four layers of 8 x 8 and one of 8 x 1 over 16 tokens.
    assert costs[0].macs == 16 * (4 * 64 + 8)
    assert costs[0].params == 4 * (64 + 8) + 8


def test_it_neither_widens_nor_pools() -> None:
    for flow in (Flow(8, (4, 4), "tokens", 16), Flow(8, (4, 4), "tokens", 8, pool=2)):
        with pytest.raises(DesignError):
            place(Spec.of("additive_attention"), flow)
