"""A reduced design is the same design: depths, patterns and heads stay, costs fall, and it can be built."""

from __future__ import annotations

from typing import Annotated

import pydantic
import pytest
import torch
from proxies.designs import hierarchical, tiny

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.model import build
from gas.patterns import Width
from gas.patterns.attention import UnitAttention
from gas.plan import plan
from gas.proxies.reduce import _mark, reduce

DESIGNS = {
    "hiera": hierarchical(96, (96, 192, 384, 768), (1, 2, 7, 2), head_dim=96),
    "narrow": hierarchical(64, (64, 128, 256, 512), (1, 2, 7, 2), head_dim=64),
    "condensed": hierarchical(96, (48, 96, 192, 384), (2, 3, 9, 1), head_dim=48),
    "equal": hierarchical(64, (64, 64, 128, 128), (1, 1, 2, 1), head_dim=32, mask_unit=4),
    "uneven": hierarchical(40, (40, 120, 200, 440), (1, 2, 3, 1), head_dim=40),
    "heads": hierarchical(96, (90, 180, 300, 600), (1, 2, 3, 2), heads=6),
}


def heads(architecture: Architecture) -> list[int]:
    network = build(architecture)
    return [module.heads for module in network.modules() if isinstance(module, UnitAttention)]


@pytest.fixture(params=DESIGNS)
def design(request: pytest.FixtureRequest) -> Architecture:
    return DESIGNS[request.param]


@pytest.mark.parametrize("width", [0.25, 0.5])
@pytest.mark.parametrize("resolution", [32, 64])
def test_structure_stays_and_costs_fall(design: Architecture, width: float, resolution: int) -> None:
    small = reduce(design, resolution=resolution, width=width)
    assert small.resolution == resolution
    assert small.depths == design.depths
    assert small.channels == design.channels
    assert [s.entry for s in small.stages] == [s.entry for s in design.stages]
    native = plan(Architecture(design.stem, design.stages, design.head, resolution)).cost
    cost = plan(small).cost
    # Params of wide layers fall as the square of the width; rounding and norms blur it.
    assert (
        0.6 * width**2 < (cost.params - 1000 * small.dims[-1]) / (native.params - 1000 * design.dims[-1]) < 1.5 * width
    )
    assert cost.macs < native.macs * width


def test_the_number_of_heads_stays(design: Architecture) -> None:
    assert heads(reduce(design, resolution=32, width=0.25)) == heads(design)


def test_widths_are_near_what_was_asked_for_and_multiples_of_four(design: Architecture) -> None:
    small = reduce(design, resolution=32, width=0.5)
    for before, after in zip(design.dims, small.dims, strict=True):
        assert after == pytest.approx(before / 2, rel=0.21)
        assert after % 4 == 0


def test_a_reduced_design_runs(design: Architecture) -> None:
    small = reduce(design, resolution=32, width=0.25)
    assert build(small, classes=7, seed=0)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_an_equal_stem_stays_equal_so_that_no_shortcut_appears() -> None:
    small = reduce(DESIGNS["uneven"], resolution=32, width=0.25)
    assert small.stem.options["dim"] == small.dims[0]
    assert build(small).stages[0][-1].shortcut is None


def test_equal_neighbouring_stages_stay_equal() -> None:
    small = reduce(DESIGNS["equal"], resolution=32, width=0.25)
    assert small.dims[0] == small.dims[1]
    assert small.dims[2] == small.dims[3]


def test_other_options_are_left_alone() -> None:
    design = hierarchical(64, (64, 128), (1, 1), mask_unit=4, head_dim=32)
    small = reduce(design, resolution=32, width=0.5)
    leaves, before = dict(small.walk()), dict(design.walk())
    changed = {path for path in leaves if leaves[path] != before[path]}
    assert changed == {
        "input.resolution",
        "stem.dim",
        "stages[0].dim",
        "stages[1].dim",
        "stages[0].blocks[0].mixer.head_dim",
        "stages[1].blocks[0].mixer.head_dim",
    }


def test_width_one_changes_the_resolution_alone(design: Architecture) -> None:
    small = reduce(design, resolution=64)
    assert small == Architecture(design.stem, design.stages, design.head, 64)
    assert reduce(design) == design


def test_reducing_is_deterministic(design: Architecture) -> None:
    assert reduce(design, resolution=32, width=0.3).id == reduce(design, resolution=32, width=0.3).id


def test_a_resolution_that_cannot_be_pooled_says_where() -> None:
    with pytest.raises(DesignError, match=r"^stages\[3\]\.entry: .*even grid; got side 3"):
        reduce(hierarchical(32, (32, 64, 128, 128), (1, 1, 1, 1), mask_unit=4, head_dim=32), resolution=48, width=0.5)
    with pytest.raises(DesignError, match=r"stages\[0\]\.blocks\[0\]\.mixer.*does not divide the grid's side 4"):
        reduce(hierarchical(32, (32,), (1,), mask_unit=8, head_dim=32), resolution=16, width=0.5)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan")])
def test_a_width_must_be_positive(width: float) -> None:
    with pytest.raises(DesignError, match="width multiplier"):
        reduce(tiny(), width=width)


def test_groups_with_different_heads_share_one_width() -> None:
    groups = tuple(
        Group(Spec.of("transformer", mixer=Spec.of("global_attention", head_dim=d)), 1) for d in (32, 48, 96)
    )
    design = Architecture(Spec.of("conv_embed", dim=64), (Stage(192, groups),), Spec.of("classifier"))
    small = reduce(design, resolution=32, width=0.5)
    assert small.dims == (96,)
    assert heads(small) == heads(design) == [6, 4, 2]


def test_a_mark_is_found_wherever_the_annotation_keeps_it() -> None:
    class Options(pydantic.BaseModel):
        plain: int
        marked: Annotated[int, Width(8)]
        optional: Annotated[int, pydantic.Field(gt=0), Width(2)] | None = None

    found = {name: _mark(field) for name, field in Options.model_fields.items()}
    assert found == {"plain": None, "marked": Width(8), "optional": Width(2)}
