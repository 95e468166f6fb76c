"""single_head_attention against its definition, written out token by token; the rest is in the contract test."""

from __future__ import annotations

import pytest
import torch

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import Cost, Flow
from gas.patterns.base import nested
from gas.patterns.single_head_attention import SingleHeadAttention


def made(dim: int, grid: tuple[int, int], **options: object) -> SingleHeadAttention:
    """The module in double precision, its norms trained a little."""
    pattern, typed = nested(Spec.of("single_head_attention", **options))
    flow = Flow(dim, grid, target=dim)
    pattern.after(typed, flow)
    torch.manual_seed(0)
    module = pattern.part(typed, flow).build().double()
    module(torch.randn(8, dim, *grid, dtype=torch.double))
    return module.eval()


@pytest.mark.parametrize(
    ("options", "channels"), [({}, 3), ({"share": 0.5, "key_dim": 5}, 7), ({"channels": 14, "norm": "batch"}, 14)]
)
def test_equals_its_definition(options: dict, channels: int) -> None:
    module, keys = made(14, (3, 4), **options), options.get("key_dim", 16)
    x = torch.randn(1, 14, 3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first = module.norm(x[:, :channels])
        qkv = module.qkv(first)[0].reshape(-1, 12)
        q, k, v = qkv[:keys], qkv[keys : 2 * keys], qkv[2 * keys :]
        joined = x.clone()
        for token in range(12):
            weights = torch.stack([q[:, token] @ k[:, other] / keys**0.5 for other in range(12)]).softmax(0)
            mixed = sum(weights[other] * v[:, other] for other in range(12))
            joined[0, :channels, token // 4, token % 4] = mixed
        assert torch.allclose(module(x), module.proj(joined.clamp(min=0)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("dim", "channels"),
    [(224, 48), (320, 68), (308, 66), (448, 96), (352, 75), (336, 72)],
)
def test_the_default_share_gives_the_channels_of_the_public_code(dim: int, channels: int) -> None:
    pattern, options = nested(Spec.of("single_head_attention"))
    part = pattern.part(options, Flow(dim, (14, 14), target=dim))
    assert part.args["channels"] == channels


def test_cost_by_hand() -> None:
    pattern, options = nested(Spec.of("single_head_attention", channels=6, key_dim=4))
    macs = 9 * (6 * 14 + 20 * 20) + 81 * (4 + 6)  # keys of 4 and values of 6 over 9 tokens
    params = 2 * 6 + 6 * 14 + 2 * 14 + 20 * 20 + 2 * 20
    assert pattern.cost(options, Flow(20, (3, 3), target=20)) == Cost(macs, params)


@pytest.mark.parametrize(
    ("options", "flow", "where", "problem"),
    [
        ({"channels": 13}, Flow(12, (4, 4), target=12), "channels", "got 13, 13 channels; expected 1 to the width 12"),
        ({"share": 0.01}, Flow(12, (4, 4), target=12), "share", "got 0.01, 0 channels; expected 1 to the width 12"),
        ({"channels": 1}, Flow(12, (1, 1), target=12), "norm", "got group for a single number"),
        ({}, Flow(12, (4, 4), target=24), "", "keeps the width"),
    ],
)
def test_what_cannot_stand(options: dict, flow: Flow, where: str, problem: str) -> None:
    pattern, typed = nested(Spec.of("single_head_attention", **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, flow)
    assert caught.value.where == where
    assert problem in caught.value.problem
