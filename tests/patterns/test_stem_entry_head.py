"""conv_embed, q_pool, mlp and classifier: what is theirs alone; the rest is in the contract test."""

from __future__ import annotations

import pytest
import torch

from gas.architecture import Spec
from gas.errors import DesignError, UnknownNameError
from gas.patterns import Cost, Flow
from gas.patterns.base import nested, options_of
from gas.plan import enter


def test_conv_embed_gives_tokens_row_by_row_plus_positions() -> None:
    pattern, options = nested(Spec.of("conv_embed", dim=6, kernel=3, stride=2))
    module = pattern.part(options, Flow(3, (8, 4))).build()
    x = torch.randn(2, 3, 8, 4)
    tokens = module(x)
    grid = module.conv(x)
    assert tokens.shape == (2, 8, 6)
    assert torch.allclose(tokens[:, 3], grid[:, :, 1, 1] + module.position[:, 3])
    assert module.position.std() > 0


def test_conv_embed_cost_by_hand() -> None:
    pattern, options = nested(Spec.of("conv_embed", dim=96))
    cost = pattern.cost(options, Flow(3, (224, 224)))
    assert cost == Cost(macs=56 * 56 * 7 * 7 * 3 * 96, params=14_208 + 301_056)
    _, bare = nested(Spec.of("conv_embed", dim=96, position="none"))
    assert pattern.cost(bare, Flow(3, (224, 224))).params == 14_208


@pytest.mark.parametrize(("options", "where"), [({"kernel": 6}, "kernel"), ({"stride": 5}, "stride")])
def test_conv_embed_refuses(options: dict, where: str) -> None:
    pattern, typed = nested(Spec.of("conv_embed", dim=8, **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, Flow(3, (32, 32)))
    assert caught.value.where == where


def test_q_pool_leaves_the_pooling_to_the_next_block() -> None:
    pattern, options = nested(Spec.of("q_pool"))
    flow = Flow(8, (8, 8), "unrolled", 16)
    assert pattern.after(options, flow) == flow.but(pool=2, lag=True)
    _, strict = nested(Spec.of("q_pool", lag=False))
    assert pattern.after(strict, flow) == flow.but(pool=2)
    assert pattern.fused
    assert pattern.cost(options, flow) == Cost()
    with pytest.raises(DesignError, match="no module"):
        pattern.part(options, flow)


def test_q_pool_refuses_an_odd_grid() -> None:
    pattern, options = nested(Spec.of("q_pool"))
    with pytest.raises(DesignError, match="even grid; got side 7"):
        pattern.after(options, Flow(8, (7, 7)))


def test_no_stage_is_entered_while_a_pooling_is_pending() -> None:
    with pytest.raises(DesignError, match="still pending"):
        enter(Spec.of("q_pool"), 16, Flow(8, (8, 8), pool=2))


def test_mlp_rounds_its_hidden_width_down() -> None:
    pattern, options = nested(Spec.of("mlp", ratio=1.3))
    module = pattern.part(options, Flow(10, (2, 2), "tokens")).build()
    assert module.fc1.out_features == 13
    assert pattern.cost(options, Flow(10, (2, 2), "tokens")) == Cost(4 * 2 * 130, 130 + 13 + 130 + 10)


def test_classifier_averages_then_normalises() -> None:
    pattern, options = nested(Spec.of("classifier", classes=5, dropout=0.5))
    module = pattern.part(options, Flow(8, (3, 3), "tokens")).build()
    x = torch.randn(2, 9, 8)
    mean = x.mean(dim=1)
    scaled = (mean - mean.mean(1, keepdim=True)) / (mean.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(module.eval()(x), module.linear(scaled), atol=1e-5)
    assert not torch.equal(module.train()(x), module(x))  # dropout is drawn anew


def test_options_are_checked_where_a_spec_is_read() -> None:
    with pytest.raises(DesignError) as caught:
        options_of(Spec.of("conv_embed", dim="wide"))
    assert caught.value.where == "dim"
    assert "'wide'" in str(caught.value)
    with pytest.raises(DesignError, match=r"dim: Field required"):
        options_of(Spec.of("conv_embed"))
    with pytest.raises(UnknownNameError, match="did you mean 'q_pool'"):
        options_of(Spec.of("qpool"))


def test_costs_add_and_multiply() -> None:
    assert Cost(2, 3) + Cost(10, 20) * 3 == Cost(32, 63)
