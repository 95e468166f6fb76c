from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hiera_parity import tiny
from random_designs import random_designs

from gas.architecture import Architecture, Group, Spec, Stage
from gas.costs import traced_count
from gas.errors import DesignError
from gas.model import build
from gas.patterns import Cost, Flow
from gas.patterns.layouts import Reroll, ToMap, ToTokens, Unroll, convert
from gas.plan import enter, place, plan, start
from gas.space import space_from_text

MUA = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", heads=1, mask_unit=4))
GLOBAL = Spec.of("transformer", mixer=Spec.of("global_attention", heads=1))
POOL = Spec.of("q_pool")


def design(*stages: Stage, resolution: int = 32, stem: Spec | None = None) -> Architecture:
    return Architecture(stem or Spec.of("conv_embed", dim=8), stages, Spec.of("classifier", classes=4), resolution)


def stage(block: Spec, dim: int = 8, depth: int = 1, entry: Spec | None = None) -> Stage:
    return Stage(dim, (Group(block, depth),), entry)


def test_random_designs_cost_what_is_counted_on_the_built_module() -> None:
    for architecture in random_designs(25, seed=5):
        assert plan(architecture).cost == traced_count(architecture).cost, architecture.to_json()


def test_the_parts_sum_to_the_whole_and_join() -> None:
    for architecture in random_designs(30, seed=6):
        placed = plan(architecture).placed
        assert sum((part.cost for part in placed), Cost()) == plan(architecture).cost
        assert [part.path for part in (placed[0], placed[-1])] == ["stem", "head"]
        assert len(plan(architecture).blocks) == sum(architecture.depths)
        for before, after in pairwise(placed):
            assert (before.after.grid, before.after.dim) == (after.before.grid, after.before.dim)
            assert before.after.layout == after.before.layout or after.conversions
        assert [end.dim for end in plan(architecture).ends] == list(architecture.dims)


def test_placing_by_hand_gives_the_same_costs() -> None:
    for architecture in random_designs(20, seed=7):
        cost, _, flow = place(architecture.stem, start(architecture.resolution, 3))
        total = cost
        for each in architecture.stages:
            flow = enter(each.entry, each.dim, flow)[2]
            for group in each.blocks:
                for _ in range(group.depth):
                    cost, _, flow = place(group.block, flow)
                    total = total + cost
            flow = flow.but(lag=False)
        assert total + place(architecture.head, flow)[0] == plan(architecture).cost


def test_conversions_stand_only_where_the_layout_changes() -> None:
    placed = plan(tiny()).placed
    kinds = [[part.cls for part in each.conversions] for each in placed]
    assert kinds == [[], [Unroll], [], [], [], []]  # unrolled once, and never again
    assert placed[1].conversions[0].args == {"grid": (8, 8), "groups": 2}
    maps = plan(tiny()).maps
    assert [[part.cls for part in each] for each in maps] == [[Reroll, ToMap], [Reroll, ToMap], [ToMap]]


def test_global_attention_alone_needs_no_unrolling() -> None:
    placed = plan(design(stage(GLOBAL, depth=2))).placed
    assert [each.before.layout for each in placed] == ["map", "tokens", "tokens", "tokens"]
    assert not any(each.conversions for each in placed)


def test_a_later_mask_unit_decides_how_far_the_first_stage_unrolls() -> None:
    large = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", heads=1, mask_unit=8))
    small = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", heads=1, mask_unit=2))
    placed = plan(design(stage(small), stage(large))).placed
    assert placed[1].conversions[0].args["groups"] == 3
    pooled = design(stage(small, 8), stage(GLOBAL, 8, entry=POOL), stage(GLOBAL, 8, entry=POOL))
    assert plan(pooled).placed[1].conversions[0].args["groups"] == 2


@pytest.mark.parametrize("lag", [True, False])
def test_lag_is_one_block_long(lag: bool) -> None:
    entry = Spec.of("q_pool", lag=lag)
    placed = plan(design(stage(MUA), stage(GLOBAL, 16, 2, entry), stage(GLOBAL, 16, 1, entry))).blocks
    names = [each.settled.mixer.pattern for each in placed]
    first = "mask_unit_attention" if lag else "global_attention"
    assert names == ["mask_unit_attention", first, "global_attention", "global_attention"]
    assert [each.before.scale for each in placed] == [1, 1, 2, 2]
    assert [each.after.scale for each in placed] == [1, 2, 2, 4]


WIDER = stage(GLOBAL, 16)
ODD = Spec.of("transformer", mixer=Spec.of("global_attention", heads=3))
LARGE = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", heads=1, mask_unit=16))
SIX = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", heads=1, mask_unit=6))
ONE = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", heads=1, mask_unit=1))
NO_BLOCK = Stage(8, ())


@pytest.mark.parametrize(
    ("stages", "resolution", "where", "problem"),
    [
        ([stage(ODD)], 32, "stages[0].blocks[0].mixer.heads", "got 3; expected a divisor of the width 8"),
        ([stage(SIX)], 32, "stages[0].blocks[0].mixer.mask_unit", "expected a power of two"),
        ([stage(LARGE)], 32, "stages[0].blocks[0].mixer.mask_unit", "does not divide the grid's side 8"),
        ([stage(ONE), stage(ONE, 8, 1, POOL)], 32, "stages[1].blocks[0].mixer.mask_unit", "smaller than a token"),
        ([stage(GLOBAL), stage(GLOBAL, 8, 1, POOL)], 28, "stages[1].entry", "even grid; got side 7"),
        ([NO_BLOCK], 32, "stages[0].blocks", "the stage has no block"),
        ([stage(GLOBAL), NO_BLOCK], 32, "stages[1].blocks", "the stage has no block"),
        ([stage(GLOBAL, depth=0)], 32, "stages[0].blocks", "the stage has no block"),
        ([stage(GLOBAL)], 30, "stem.stride", "expected a divisor of the resolution 30"),
        ([stage(Spec.of("transformer"))], 32, "stages[0].blocks[0].mixer", "Field required"),
    ],
)
def test_a_design_that_cannot_stand_says_where(stages: list, resolution: int, where: str, problem: str) -> None:
    with pytest.raises(DesignError) as caught:
        plan(design(*stages, resolution=resolution))
    assert caught.value.where == where
    assert problem in caught.value.problem


def test_equal_designs_share_a_plan_and_the_name_does_not_matter() -> None:
    assert plan(tiny()) is plan(replace(tiny(), name="another"))


def test_convert_changes_any_layout_into_any_other() -> None:
    grid, groups = (4, 8), 2
    x = torch.randn(2, 3, *grid)
    tokens = ToTokens()(x)
    have = {"map": x, "tokens": tokens, "unrolled": Unroll(grid, groups)(tokens)}
    for source in have:
        for target in have:
            y = have[source]
            flow = Flow(dim=3, grid=grid, layout=source)
            for part in convert(flow, target, groups if source == "unrolled" else 0, groups):
                y = part.build()(y)
            assert torch.equal(y, have[target]), (source, target)


STRIDED = Spec.of("conv_downsample")


def test_an_entry_with_a_module_is_placed_with_its_cost() -> None:
    whole = design(stage(GLOBAL, 8), stage(GLOBAL, 16, entry=STRIDED))
    placed = plan(whole).placed
    entry = next(each for each in placed if each.path == "stages[1].entry")
    assert (entry.stage, entry.before.dim, entry.after.dim) == (1, 8, 16)
    assert entry.before.grid == (2 * entry.after.grid[0], 2 * entry.after.grid[1])
    assert entry.cost == Cost(9 * 8 * 16 * entry.after.tokens, 9 * 8 * 16 + 2 * 16)
    assert plan(whole).cost == traced_count(whole).cost
    assert entry.after.scope is None


def test_odd_grids_are_rounded_up_and_the_reduction_says_so() -> None:
    whole = design(*(stage(GLOBAL, 8, entry=STRIDED if i else None) for i in range(4)), resolution=28)
    assert [end.grid[0] for end in plan(whole).ends] == [7, 4, 2, 1]
    network = build(whole).eval()
    assert [info["reduction"] for info in network.feature_info] == [4, 8, 16, 32]
    maps = network.forward_features(torch.zeros(1, 3, 28, 28))
    assert [m.shape[-1] for m in maps] == [7, 4, 2, 1]


def test_an_entry_alone_makes_no_stage() -> None:
    with pytest.raises(DesignError, match=r"stages\[1\].blocks: the stage has no block"):
        plan(design(stage(GLOBAL, 8), Stage(16, (Group(GLOBAL, 0),), STRIDED)))


def test_a_space_counts_entries_with_modules() -> None:
    space = space_from_text(
        """
        input: {resolution: 32}
        stem: {pattern: conv_stem, dim: 8}
        stages:
          - dim: 8
            blocks: [{pattern: transformer, depth: 1, mixer: depthwise_conv, mlp: conv_mlp, norm: none}]
          - entry: {pattern: conv_downsample, kernel: {choose: [1, 3]}}
            dim: {choose: [8, 16]}
            blocks: [{pattern: transformer, depth: {range: [1, 2]}, mixer: depthwise_conv, mlp: conv_mlp, norm: none}]
        head: classifier
        """
    )
    assert space.size() == 2 * 2 * 2
    designs = {each.id: each for each in space.sample(200, seed=0)}
    assert len(designs) == 8
    for each in designs.values():
        assert plan(each).cost == traced_count(each).cost
