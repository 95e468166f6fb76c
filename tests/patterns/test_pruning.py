from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gas.architecture import Spec
from gas.errors import DesignError, SpaceError
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.patterns.pruning import PruningBlock
from gas.space import design_from_text

TOKENS = Flow(12, (4, 4), "tokens", 12, extra=1)


def made(flow: Flow, **options) -> PruningBlock:
    pattern, typed = nested(Spec.of("pruning", **{"heads": 3, **options}))
    pattern.after(typed, flow)
    return pattern.part(typed, flow).build().eval()


def ranks(block: PruningBlock, x: Tensor, rank: str) -> list[float]:
    """How much attention each token of one image receives, weight by weight."""
    heads = block.token_mixer.heads
    q, k, _ = block.token_mixer.qkv(block.norm1(x[0])).unflatten(-1, (3, heads, -1)).unbind(1)  # each (N, K, D)
    queries = range(len(x[0])) if rank == "received" else [0]
    received = [0.0] * len(x[0])
    for head in range(heads):
        for i in queries:
            scores = [float(q[i, head] @ k[j, head]) / math.sqrt(q.shape[-1]) for j in range(len(x[0]))]
            total = sum(math.exp(s) for s in scores)
            for j, score in enumerate(scores):
                received[j] += math.exp(score) / total / heads / len(queries)
    return received


@pytest.mark.parametrize("where", ["attention", "block"])
@pytest.mark.parametrize("rank", ["class", "received"])
@pytest.mark.parametrize(("keep", "kept"), [(0.5, 8), (0.3, 5), (0.01, 1), (1.0, 16)])
def test_the_best_ranked_go_on_in_their_order(keep: float, kept: int, rank: str, where: str) -> None:
    torch.manual_seed(1)
    block = made(TOKENS, keep=keep, rank=rank, where=where).double()
    x = torch.randn(1, 17, 12, dtype=torch.float64)
    with torch.inference_mode():
        for parameter in block.parameters():
            parameter.normal_()
        received = ranks(block, x, rank)
        best = sorted(range(1, 17), key=lambda j: -received[j])[:kept]
        # Without pruning: all tokens through both branches; then those that should be left.
        whole = x + block.token_mixer(block.norm1(x), ranked=False)[0]
        whole = whole + block.channel_mixer(block.norm2(whole))
        assert torch.allclose(block(x), whole[:, [0, *sorted(best)]], atol=1e-9)


def test_every_image_keeps_its_own_tokens() -> None:
    torch.manual_seed(2)
    block = made(TOKENS, keep=0.25).double()
    x = torch.randn(5, 17, 12, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(block(x), torch.cat([block(x[i : i + 1]) for i in range(5)]), atol=1e-12)
        received = torch.tensor([ranks(block, x[i : i + 1], "class") for i in range(5)])
    assert len({tuple(best.tolist()) for best in received[:, 1:].topk(4).indices.sort().values}) > 1, (
        "images that all keep the same tokens show nothing"
    )


@pytest.mark.parametrize(("keep", "places", "kept"), [(0.7, 196, 138), (0.7, 138, 97), (0.1, 30, 3), (0.5, 7, 4)])
def test_the_share_is_rounded_up(keep: float, places: int, kept: int) -> None:
    pattern, options = nested(Spec.of("pruning", heads=3, keep=keep))
    after = pattern.after(options, Flow(12, (1, places), "set", 12, extra=1))
    assert (after.layout, after.grid, after.extra, after.tokens) == ("set", (1, kept), 1, kept + 1)


def test_without_a_class_token_all_tokens_may_rank() -> None:
    block = made(TOKENS.but(extra=0), keep=0.5, rank="received")
    assert block(torch.randn(2, 16, 12)).shape == (2, 8, 12)


def test_its_weights_have_the_names_of_a_transformers() -> None:
    pattern, options = nested(Spec.of("transformer", mixer=Spec.of("global_attention", heads=3)))
    wanted = pattern.part(options, TOKENS).build().state_dict()
    for keep in (0.5, 1.0):
        got = made(TOKENS, keep=keep).state_dict()
        assert {name: t.shape for name, t in got.items()} == {name: t.shape for name, t in wanted.items()}


@pytest.mark.parametrize(
    ("flow", "options", "where", "problem"),
    [
        (TOKENS, {"heads": 5}, "heads", "got 5; expected a divisor of the width 12"),
        (TOKENS.but(extra=0), {}, "rank", "got class, but no class token comes in; expected received"),
        (TOKENS.but(target=24), {}, "", "keeps the width"),
        (
            TOKENS,
            {"mlp": Spec.of("conv_mlp")},
            "mlp",
            "got conv_mlp, which cannot read set; expected one that needs no",
        ),
        (TOKENS, {"mlp": Spec.of("mlp", ratio=0.01)}, "mlp.ratio", "got 0.01"),
    ],
)
def test_where_it_cannot_stand(flow: Flow, options: dict, where: str, problem: str) -> None:
    with pytest.raises(DesignError) as caught:
        made(flow, keep=0.5, **options)
    assert caught.value.where == where
    assert caught.value.problem.startswith(problem)


def test_nothing_that_needs_a_grid_may_follow() -> None:
    with pytest.raises(SpaceError, match=r"stages\[0\].blocks\[1\]: tokens have been pruned, so they stand on no grid"):
        design_from_text(
            """
            input: {resolution: 32}
            stem: {pattern: conv_embed, kernel: 4, stride: 4, dim: 8, class_token: true}
            stages:
              - dim: 8
                blocks:
                  - {pattern: pruning, depth: 1, heads: 2, keep: 0.5}
                  - {pattern: transformer, depth: 1, mixer: {pattern: window_attention, window: 2, heads: 2}}
            head: {pattern: classifier, token: class, classes: 10}
            """
        )
