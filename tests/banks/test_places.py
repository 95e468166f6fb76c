"""Keys and shapes: what shares a tensor, what does not, and that every parameter of every zoo design has its own."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from pathlib import Path

import pytest
from banks.small import grown, network_of, smallest
from proxies.designs import hierarchical

from gas import patterns
from gas.architecture import Architecture, Group, Spec
from gas.banks import slots
from gas.banks.places import INPUTS, OUTPUTS, WIDTHS
from gas.model import build
from gas.plan import plan
from gas.space import bundled

QUICK_ZOO = ("zoo/cmt_ti", "zoo/edgenext_small", "zoo/efficientvit_m0", "zoo/shvit_s1", "zoo/qna_vit_t")
ZOO = tuple(sorted(name for name in bundled() if name.startswith("zoo/")))


def marked(quick: tuple[str, ...], names: tuple[str, ...] = ZOO) -> list:
    """All names; those that are not quick are slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def keys(design: Architecture, **options: bool) -> dict[str, tuple]:
    """Key -> shape of every piece of a design."""
    network = build(design, classes=10, seed=0)
    return dict(piece for slot in slots(network, design, **options) for piece in slot.pieces)


@pytest.mark.parametrize("name", marked(QUICK_ZOO))
def test_every_parameter_of_a_zoo_design_has_tensors_of_its_own(name: str) -> None:
    design = smallest(name)
    network = network_of(design)
    found = slots(network, design)
    pieces = [key for slot in found for key, _ in slot.pieces]
    assert len(set(pieces)) == len(pieces)
    assert [(slot.name, slot.shape) for slot in found] == [(n, tuple(p.shape)) for n, p in network.named_parameters()]


@pytest.mark.parametrize("name", marked(QUICK_ZOO))
def test_the_pieces_hold_as_many_numbers_as_the_plan_counts(name: str) -> None:
    design = smallest(name)
    classes = design.head.options.get("classes", 1000)
    assert grown(design, classes=classes).params == plan(design).cost.params


def test_deeper_and_shallower_stages_share_the_first_blocks() -> None:
    deep, shallow = (keys(hierarchical(16, (16, 32), (depth, 1), heads=2, mask_unit=2)) for depth in (3, 1))
    assert set(shallow) < set(deep)
    assert {key.partition(" ")[0] for key in set(deep) - set(shallow)} == {f"stages[0].blocks[0][{n}]" for n in (1, 2)}


def test_wider_designs_share_every_tensor_and_need_no_less_of_it() -> None:
    narrow, wide = (keys(hierarchical(d, (d, 2 * d), (1, 1), heads=2, mask_unit=2)) for d in (16, 32))
    assert set(narrow) == set(wide)
    assert all(all(a <= b for a, b in zip(narrow[k], wide[k], strict=True)) for k in narrow)


def test_two_patterns_at_one_place_share_nothing_but_what_is_alike_around_them() -> None:
    base = hierarchical(16, (16, 32), (1, 1), heads=2, mask_unit=2)
    block = Spec.of("transformer", mixer=Spec.of("depthwise_conv"))
    other = replace(base, stages=(replace(base.stages[0], blocks=(Group(block, 1),)), base.stages[1]))
    shared = set(keys(base)) & set(keys(other))
    assert shared
    assert not any("UnitAttention" in key and key.startswith("stages[0]") for key in shared)


def test_the_kernel_of_a_convolution_is_part_of_its_key() -> None:
    found = []
    for kernel in (5, 7):
        base = hierarchical(16, (16, 32), (1, 1), heads=2, mask_unit=2)
        found.append(set(keys(replace(base, stem=Spec.of("conv_embed", dim=16, kernel=kernel)))))
    assert found[0] ^ found[1] == {
        "stem ConvEmbed.conv:Conv2d.weight(5,5)",
        "stem ConvEmbed.conv:Conv2d.weight(7,7)",
    }


def test_queries_keys_and_values_are_sliced_each_by_itself() -> None:
    design = hierarchical(16, (16, 32), (1, 1), heads=2, mask_unit=2)
    found = keys(design)
    whole = keys(design, segments=False)
    thirds = [key for key in found if "stages[0]" in key and "qkv:Linear.weight" in key]
    assert [found[key] for key in thirds] == [(16, 16)] * 3
    assert [whole[key] for key in whole if "stages[0]" in key and "qkv:Linear.weight" in key] == [(48, 16)]


def test_the_tables_name_classes_and_members_that_exist() -> None:
    files = sorted(path.stem for path in Path(patterns.__file__).parent.glob("*.py") if path.stem != "__init__")
    modules = [importlib.import_module(f"gas.patterns.{name}") for name in files]
    classes = {name: value for m in modules for name, value in vars(m).items() if isinstance(value, type)}
    for owner, member in (*OUTPUTS, *INPUTS, *WIDTHS):
        assert f"self.{member} = " in inspect.getsource(classes[owner]), (owner, member)
