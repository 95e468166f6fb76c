from __future__ import annotations

import pytest
import torch
from map_reference import block_on_map

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow
from gas.patterns.base import nested
from gas.patterns.layouts import Reroll, ToMap, ToTokens, Unroll
from gas.patterns.transformer import DropPath

LOCAL = Spec.of("mask_unit_attention", mask_unit=4)
GLOBAL = Spec.of("global_attention")


def block(scope: Spec, **options: int) -> Spec:
    return Spec.of("transformer", mixer=Spec.of(scope.pattern, **scope.options, **options))


@pytest.mark.parametrize("target", [8, 24])
@pytest.mark.parametrize("pool", [1, 2])
def test_block_equals_the_block_on_a_map(target: int, pool: int) -> None:
    flow = Flow(8, (8, 8), "unrolled", target, pool=pool)
    pattern, options = nested(block(LOCAL, heads=2))
    torch.manual_seed(0)
    module = pattern.part(options, flow).build().eval().double()
    x = torch.randn(2, 8, 8, 8, dtype=torch.float64)
    got = module(Unroll((8, 8), 2)(ToTokens()(x)))
    after = pattern.after(options, flow)
    got = ToMap(after.grid)(Reroll(after.grid, 3 - pool)(got))
    assert torch.allclose(got, block_on_map(module, x, 4, pool), atol=1e-12)


def test_the_shortcut_widens_the_normalised_input() -> None:
    pattern, options = nested(block(GLOBAL, heads=1))
    module = pattern.part(options, Flow(4, (2, 2), "tokens", 8)).build().eval()
    for linear in (module.token_mixer.proj, module.channel_mixer.fc2):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    x = torch.randn(1, 4, 4)
    assert torch.allclose(module(x), module.shortcut(module.norm1(x)))


def test_lag_keeps_the_scope_before_and_the_own_heads() -> None:
    pattern, options = nested(block(GLOBAL, head_dim=4))
    flow = Flow(8, (8, 8), "unrolled", 16, pool=2, lag=True, scope=LOCAL)
    assert pattern.settle(options, flow).mixer == Spec.of("mask_unit_attention", mask_unit=4, head_dim=4)
    after = pattern.after(options, flow)
    assert (after.lag, after.scope) == (False, GLOBAL)  # the lag is one block long
    assert pattern.settle(options, after) == options


@pytest.mark.parametrize(
    "flow",
    [
        Flow(8, (8, 8), "unrolled", 16, pool=2, lag=False, scope=LOCAL),
        Flow(8, (8, 8), "unrolled", 16, pool=2, lag=True, scope=None),
    ],
    ids=["no lag", "nothing before"],
)
def test_without_lag_or_scope_a_block_is_as_written(flow: Flow) -> None:
    pattern, options = nested(block(GLOBAL, head_dim=4))
    assert pattern.settle(options, flow) == options


def test_lag_changes_the_cost_to_that_of_the_scope_before() -> None:
    pattern, options = nested(block(GLOBAL, heads=2))
    flow = Flow(8, (8, 8), "unrolled", 16, pool=2, lag=True, scope=LOCAL)
    _, written_out = nested(block(LOCAL, heads=2))
    assert pattern.cost(options, flow) == pattern.cost(written_out, flow.but(lag=False))
    assert pattern.cost(options, flow).macs < pattern.cost(options, flow.but(lag=False)).macs


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        (block(GLOBAL, heads=3), "mixer.heads"),
        (
            Spec.of("transformer", mixer=Spec.of("global_attention", heads=1), mlp=Spec.of("mlp", ratio=0.01)),
            "mlp.ratio",
        ),
    ],
)
def test_errors_name_the_nested_option(spec: Spec, where: str) -> None:
    pattern, options = nested(spec)
    with pytest.raises(DesignError) as caught:
        pattern.after(options, Flow(8, (4, 4), "tokens", 8))
    assert caught.value.where == where


def test_drop_path_keeps_the_mean_and_does_nothing_in_evaluation() -> None:
    drop = DropPath(0.25)
    x = torch.ones(4000, 2, 3)
    assert torch.equal(drop.eval()(x), x)
    torch.manual_seed(0)
    y = drop.train()(x)
    assert torch.allclose(y[y != 0], torch.tensor(1 / 0.75))
    assert torch.equal(y.amin(dim=(1, 2)), y.amax(dim=(1, 2)))  # an image is dropped as a whole
    assert y.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(DropPath(0.0).train()(x), x)


def test_the_registry_gives_the_block_its_default_mlp() -> None:
    assert PATTERNS.get("transformer").Options(mixer=GLOBAL).mlp == Spec.of("mlp")
