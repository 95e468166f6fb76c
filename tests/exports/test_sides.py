"""Other sides of the image: the expressions in an exported file against the plan, the resizing against timm's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from export_designs import hiera_t, hierarchical, load_module, random_designs, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from gas.architecture import Architecture, Spec
from gas.errors import DesignError
from gas.exports.expression import node
from gas.exports.sides import expression, sides_text, standing, with_side
from gas.exports.source import module_source
from gas.exports.weights import POSITIONS, resized
from gas.model import build, network_part
from gas.plan import plan
from gas.space import bundled, load

DESIGNS = [tiny(), tiny(position="none"), hiera_t(), *random_designs(4, seed=3)]
ZOO = [name for name in bundled() if name.startswith("zoo/")]
QUICK = ["zoo/swin_tiny", "zoo/supervit_deit_small_k07"]


def check_tree(design: Architecture) -> None:
    """What the file would build at a side is, argument by argument, what the plan builds there."""
    trees = standing(design)
    written = with_side(network_part(design), list(trees.values()), tuple(trees))
    names = {"range": range, "nn": _Names()}
    for side in sorted(trees)[:: max(1, len(trees) // 6)]:
        found = eval(node(written).flat, {**names, **_classes(written), "img_size": side})
        expected = eval(node(trees[side]).flat, {**names, **_classes(written)})
        assert _plain(found) == _plain(expected), side


class _Names:
    """Stands for a module of classes: what is called gives its name and its arguments."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def __getattr__(self, name: str) -> _Names:
        return _Names(f"{self.prefix}.{name}")

    def __call__(self, *args: object, **named: object) -> tuple:
        return self.prefix, args, named


def _classes(tree: object) -> dict[str, _Names]:
    from gas.exports.expression import class_name, classes

    return {class_name(cls): _Names(cls.__name__) for cls in classes(tree) if "." not in class_name(cls)}


def _plain(value: object) -> object:
    """Without the reductions, which are the design's own at every side."""
    if isinstance(value, tuple) and len(value) == 3 and isinstance(value[2], dict):
        return value[0], value[1], {k: v for k, v in value[2].items() if k != "feature_info"}
    return value


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name)
def test_expressions_of_the_side_give_what_the_plan_gives(design):
    check_tree(design)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_expressions_hold_for_the_zoo(name):
    check_tree(load(name))


def test_a_side_is_there_where_the_plan_stands_and_nowhere_else():
    design = tiny()
    sides = standing(design)
    for side in range(8, 129, 8):
        try:
            plan(replace(design, resolution=side))
        except DesignError:
            assert side not in sides
        else:
            assert side in sides


@settings(max_examples=15)
@given(st.sampled_from([2, 4, 8, 16]), st.lists(st.integers(1, 48), min_size=2, max_size=12, unique=True))
def test_an_expression_has_the_values_it_was_made_of(stride, numbers):
    sides = tuple(8 * n for n in numbers)
    for values in (
        tuple(side // stride for side in sides),
        tuple(-(-side // stride) for side in sides),
        tuple((side // stride) ** 2 for side in sides),
        tuple(min(7, side // stride) for side in sides),
        tuple(side % 7 for side in sides),
    ):
        text = expression(values, sides)
        assert tuple(eval(text, {"img_size": side, "min": min}) for side in sides) == values


def test_evenly_spaced_sides_are_a_range():
    assert sides_text((224, 192, 256)) == "range(192, 257, 32)"
    assert tuple(eval(sides_text((32, 64, 128)))) == (32, 64, 128)
    assert eval(sides_text((24,))) == (24,)


def test_the_file_builds_the_design_at_another_side_and_refuses_where_it_does_not_stand(tmp_path):
    module = load_module(module_source(tiny(), "net"), "net", tmp_path)
    ours = build(replace(tiny(), resolution=64), seed=0).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = module.net(img_size=64).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))
    with pytest.raises(ValueError, match=r"img_size: got 50; expected one of .*; did you mean 48\?"):
        module.net(img_size=50)
    with pytest.raises(ValueError, match="num_classes: got -1; expected a whole number from 0"):
        module.net(num_classes=-1)


def test_maps_alone_are_those_of_the_whole_network(tmp_path):
    mixers = (Spec.of("global_attention", heads=1),) * 4
    design = hierarchical("four", 8, (8, 16, 24, 32), (1, 1, 1, 1), mixers, resolution=32, stride=4)
    module = load_module(module_source(design, "net"), "net", tmp_path)
    torch.manual_seed(0)
    whole = module.net(img_size=64).eval()
    few = module.net(img_size=64, features_only=True, out_indices=(0, -2)).eval()
    few.load_state_dict(whole.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps = whole.forward_features(x)
        first, third = few(x)
    assert torch.equal(first, maps[0])
    assert torch.equal(third, maps[2])
    assert [info["num_chs"] for info in few.feature_info] == [8, 24]
    assert [info["reduction"] for info in few.feature_info] == [4, 16]
    assert not any(name.startswith(("stages.3", "head")) for name in few.state_dict())
    with pytest.raises(ValueError, match=r"out_indices: got \(4,\); expected stages from 0 to 3"):
        module.net(features_only=True, out_indices=(4,))


@pytest.mark.parametrize("extra", [0, 1])
def test_embeddings_are_resized_as_timm_does(timm, extra):
    from timm.layers import resample_abs_pos_embed

    own = torch.randn(1, 49 + extra, 6, generator=torch.Generator().manual_seed(0))
    for side in (4, 10):
        ours = resized("stem.position", own, torch.empty(1, side**2 + extra, 6))
        torch.testing.assert_close(ours, resample_abs_pos_embed(own, [side, side], num_prefix_tokens=extra))


def test_what_is_no_position_is_never_resized():
    for name, old, new in (
        ("head.linear.weight", (10, 16), (9, 16)),
        ("head.linear.bias", (16,), (9,)),
        ("stem.position", (1, 50, 4), (1, 16, 5)),
    ):
        values = torch.randn(old)
        found = resized(name, values, torch.empty(new))
        assert found.shape != torch.Size(new)
    dense = resized("mixer.bias", torch.randn(1, 2, 64, 16), torch.empty(1, 2, 16, 4))
    assert dense.shape == (1, 2, 16, 4)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in ZOO if n not in QUICK)])
def test_only_positions_depend_on_the_side(name):
    design = load(name)
    sides = sorted(standing(design))
    shapes = []
    for side in (design.resolution, sides[0], sides[-1]):
        with torch.device("meta"):
            shapes.append({k: v.shape for k, v in build(replace(design, resolution=side)).state_dict().items()})
    assert shapes[0].keys() == shapes[1].keys() == shapes[2].keys()
    own = shapes[0]
    for other in shapes[1:]:
        for key in (key for key in own if own[key] != other[key]):
            assert key.rpartition(".")[2] in POSITIONS
            if own[key].numel() < 2e6:
                assert resized(key, torch.zeros(own[key]), torch.empty(other[key])).shape == other[key]
