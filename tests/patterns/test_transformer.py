from __future__ import annotations

import pytest
import torch
from map_reference import block_on_map

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import PATTERNS, Flow
from gas.patterns.base import nested
from gas.patterns.layouts import Reroll, ToMap, ToTokens, Unroll
from gas.patterns.units import DropPath
from gas.plan import place

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


def frame(**options: object) -> Spec:
    return Spec.of("transformer", **options)


CONV = Spec.of("depthwise_conv")


def made(spec: Spec, flow: Flow) -> torch.nn.Module:
    """The block in double precision, its layer scales and norms at random values."""
    pattern, options = nested(spec)
    assert flow.layout in pattern.reads(options, flow)
    pattern.after(options, flow)
    torch.manual_seed(0)
    module = pattern.part(options, flow).build().eval().double()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module


def test_a_map_mixer_and_a_token_mixer_share_a_block() -> None:
    flow = Flow(6, (4, 5), "map", 6)
    module = made(frame(mixer=Spec.of("global_attention", heads=2), mlp=Spec.of("conv_mlp"), local=CONV), flow)
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    y = x + module.local.branch(x)
    y = y + module.token_mixer(module.norm1(y))
    y = y + module.channel_mixer(module.norm2(y))
    assert torch.equal(module(x), y)
    attention = module.token_mixer[1]  # between the two conversions
    tokens = module.norm1(x).flatten(2).transpose(1, 2)
    assert torch.allclose(module.token_mixer(module.norm1(x)), attention(tokens).transpose(1, 2).view_as(x))


@pytest.mark.parametrize(
    ("options", "layouts"),
    [
        ({"mixer": CONV}, ("map", "tokens")),  # one of two parts must be converted anyway
        ({"mixer": CONV, "mlp": Spec.of("conv_mlp")}, ("map",)),
        ({"mixer": Spec.of("global_attention", heads=1)}, ("tokens", "unrolled", "set")),
        ({"mixer": Spec.of("global_attention", heads=1), "norm": "batch"}, ("map",)),
        ({"mixer": Spec.of("global_attention", heads=1), "mlp": Spec.of("conv_mlp"), "local": CONV}, ("map",)),
        ({"mixer": None}, ("tokens", "unrolled", "windows", "set")),
        ({"mixer": Spec.of("mask_unit_attention", mask_unit=2, heads=1)}, ("unrolled",)),
        ({"mixer": Spec.of("mask_unit_attention", mask_unit=2, heads=1), "norm": "batch"}, ("map",)),
    ],
)
def test_the_block_works_in_the_layout_that_most_of_its_parts_read(options: dict, layouts: tuple) -> None:
    pattern, typed = nested(frame(**options))
    assert pattern.reads(typed, Flow(4, (4, 4), "map", 4)) == layouts


def test_layer_scale_and_the_normed_shortcut() -> None:
    flow = Flow(6, (4, 5), "tokens", 6)
    spec = frame(mixer=Spec.of("global_attention", heads=2), layer_scale=0.5, shortcut="norm")
    module = made(spec, flow)
    x = torch.randn(2, 20, 6, dtype=torch.float64)
    y = module.norm1(x)
    y = y + module.scale1.gamma * module.token_mixer(y)
    y = y + module.scale2.gamma * module.channel_mixer(module.norm2(y))
    assert torch.allclose(module(x), y, atol=1e-12)


def test_a_block_of_one_depthwise_convolution_folds_into_it() -> None:
    module = made(frame(mixer=CONV, mlp=None, norm="none", layer_scale=0.5), Flow(6, (4, 5), "map", 6))
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    folded = fuse(module)
    assert [type(m) for m in folded.modules() if list(m.parameters(recurse=False))] == [torch.nn.Conv2d]
    assert torch.allclose(folded(x), module(x), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "flow", "where"),
    [
        ({"mixer": None, "mlp": None}, Flow(4, (4, 4), "map", 4), "mixer"),
        ({"mixer": None}, Flow(4, (4, 4), "tokens", 8), "mixer"),
        ({"mixer": CONV, "mlp": Spec.of("conv_mlp")}, Flow(4, (4, 4), "map", 8), "mixer"),
        ({"mixer": Spec.of("global_attention", heads=1), "local": CONV}, Flow(4, (4, 4), "tokens", 8), "local"),
        ({"mixer": Spec.of("global_attention", heads=1), "norm": "none"}, Flow(4, (4, 4), "tokens", 8), "norm"),
        ({"mixer": CONV, "mlp": None}, Flow(4, (4, 4), "tokens", 4, extra=1), ""),
    ],
)
def test_blocks_that_cannot_stand(options: dict, flow: Flow, where: str) -> None:
    with pytest.raises(DesignError) as caught:
        place(frame(**options), flow)
    assert caught.value.where == where
