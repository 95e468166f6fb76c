"""Attention entropy: against the softmax written out, with masks, and through both ways of computing attention."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gas.architecture import Architecture, Group, Spec, Stage
from gas.probes.entropy import entropy, mean_entropy
from gas.probes.subject import fresh
from gas.probes.watching import LEADING, QUERIES, _Attention, fused_scores, watch


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


MASKS = {
    "none": {},
    "scale": {"scale": 0.7},
    "causal": {"is_causal": True},
    "boolean": {"attn_mask": torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) + torch.eye(6) > 0.4},
    "added": {"attn_mask": randn(1, 3, 6, 6, seed=2)},
    "per image": {"attn_mask": randn(2, 1, 6, 6, seed=3).masked_fill(torch.eye(6) < -1, float("-inf"))},
}


@pytest.mark.parametrize("how", MASKS)
def test_the_scores_are_those_that_torch_attends_by(how: str) -> None:
    q, k, v = randn(2, 3, 6, 4, seed=4), randn(2, 3, 6, 4, seed=5), randn(2, 3, 6, 5, seed=6)
    scores = fused_scores(q, k, v, **MASKS[how])
    assert scores.shape == (2 * 3 * 6, 6)
    ours = scores.softmax(-1).unflatten(0, (2, 3, 6)) @ v
    assert torch.allclose(ours, F.scaled_dot_product_attention(q, k, v, **MASKS[how]), atol=1e-6)


def test_heads_that_share_keys() -> None:
    q, k, v = randn(2, 6, 5, 4, seed=1), randn(2, 2, 5, 4, seed=2), randn(2, 2, 5, 4, seed=3)
    weights = fused_scores(q, k, v, enable_gqa=True).softmax(-1).unflatten(0, (2, 6, 5))
    expected = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert torch.allclose(weights @ v.repeat_interleave(3, dim=1), expected, atol=1e-6)


def test_of_many_queries_some_are_looked_at_from_the_first_to_the_last() -> None:
    q, k = randn(100, 2, 80, 4), randn(100, 2, 7, 4, seed=1)
    scores = fused_scores(q, k).unflatten(0, (LEADING, 2, QUERIES))
    assert torch.allclose(scores[0, 0, 0], q[0, 0, 0] @ k[0, 0].T * 0.5)
    assert torch.allclose(scores[-1, -1, -1], q[-1, -1, -1] @ k[-1, -1].T * 0.5)


def test_known_entropies() -> None:
    even = torch.zeros(3, 8)
    sharp = torch.tensor([[1000.0, 0.0, 0.0]])
    half = torch.tensor([[0.0, 0.0, float("-inf"), float("-inf")], [0.0, 0.0, 0.0, 0.0]])
    assert mean_entropy(even) == pytest.approx(1.0)
    assert mean_entropy(sharp) == 0.0
    assert mean_entropy(half) == pytest.approx(1.0)  # masked keys do not count
    chances = torch.tensor([0.7, 0.2, 0.1])
    expected = -sum(p * math.log(p) for p in (0.7, 0.2, 0.1)) / math.log(3)
    assert mean_entropy(chances.log()[None]) == pytest.approx(expected)
    assert mean_entropy(torch.zeros(5, 1)) is None


def test_both_ways_of_computing_attention_are_seen_once_each() -> None:
    q, k, v = randn(2, 3, 6, 4, seed=4), randn(2, 3, 6, 4, seed=5), randn(2, 3, 6, 5, seed=6)
    watching = _Attention()
    watching.scores = found = []
    with watching:
        F.scaled_dot_product_attention(q, k, v)
        product = q @ k.transpose(-2, -1) * 0.5
        for softmax in (F.softmax, torch.softmax, Tensor.softmax):
            softmax(product, dim=-1)
        torch.nn.Softmax(dim=2)(product)
        watching.scores = None
        F.softmax(product, dim=-1)
    assert len(found) == 5
    assert all(torch.allclose(scores, found[0], atol=1e-6) for scores in found[1:4])
    assert torch.allclose(found[4], product.transpose(-2, -1).flatten(0, -2))


def test_the_entropy_of_a_block_is_that_of_its_queries_and_keys() -> None:
    mixer = Spec.of("global_attention", heads=2)
    stage = Stage(16, (Group(Spec.of("transformer", mixer=mixer), 2),))
    design = Architecture(Spec.of("conv_embed", dim=16), (stage,), Spec.of("classifier"), 32)
    subject = fresh(design)
    block = subject.network.stages[0][-1]
    tokens: list[Tensor] = []
    hook = block.token_mixer.register_forward_hook(lambda _, inputs, __: tokens.append(inputs[0]))
    readings = entropy(watch(subject, design))
    hook.remove()
    q, k, _ = block.token_mixer.qkv(tokens[0]).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1).double()  # (B, K, N, N)
    every = -(weights * weights.log()).sum(-1) / math.log(weights.shape[-1])
    rows = torch.linspace(0, every.shape[-1] - 1, min(QUERIES, every.shape[-1])).long()
    first = torch.linspace(0, len(every) - 1, min(LEADING, len(every))).long()
    assert readings[1] == pytest.approx(every[first][..., rows].mean().item(), rel=1e-5)


def test_blocks_without_attention_have_none() -> None:
    design = Architecture(
        Spec.of("conv_embed", dim=16), (Stage(16, (Group(Spec.of("convnext"), 2),)),), Spec.of("classifier"), 32
    )
    assert entropy(watch(fresh(design), design)) == [None, None]
