# ruff: noqa: E501  (YAML lines and a table of refusals, one case on a line)
"""The walk, the counts and the costs of spaces, held against every design written out one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from space.brute import designs, exhaust

from gas.architecture import Architecture
from gas.errors import SpaceError
from gas.plan import plan
from gas.space import SearchSpace, bundled, load, load_space, space_from_text, tables
from gas.space.tree import Decision

SPACES = sorted(name for name in bundled() if not name.startswith("zoo/"))
ZOO = sorted(name for name in bundled() if name.startswith("zoo/"))


def bounded(text: str, constraints: str) -> str:
    """A text whose last part is its constraints, with others."""
    return text.partition("\nconstraints:")[0] + f"\nconstraints: {constraints}\n"


def tiny_text() -> str:
    return bundled()["tiny"].read_text(encoding="utf-8")


def chooser(seed: int) -> Callable[[Decision, tuple], Any]:
    rng = np.random.default_rng(seed)
    return lambda decision, allowed: allowed[rng.integers(len(allowed))]


def cost(design: Architecture) -> tuple[int, int]:
    found = plan(design).cost
    return found.macs, found.params


@pytest.fixture(scope="module")
def tiny() -> SearchSpace:
    return load_space("tiny")


@pytest.fixture(scope="module")
def turbovit() -> SearchSpace:
    return load_space("turbovit")


@pytest.fixture(scope="module", params=["thin", pytest.param("tiny", marks=pytest.mark.slow)])
def written_out(request: pytest.FixtureRequest) -> tuple[str, dict[str, tuple[int, int]]]:
    """tiny.yaml, or the same with fewer ratios and depths; and (macs, params) of its designs by brute force."""
    text = bundled()["tiny"].read_text(encoding="utf-8")
    if request.param == "thin":
        text = text.replace("choose: [2, 3, 4]", "choose: [2, 4]").replace("range: [1, 3]", "range: [1, 2]")
    return text, designs(text)


def test_a_space_has_exactly_the_designs_that_brute_force_finds(written_out: tuple) -> None:
    text, costs = written_out
    space = space_from_text(text)
    assert space.size() == len(costs) in (6_336, 32_076)
    reached = [design.id for design in exhaust(space, feasible=False)]
    assert len(reached) == len(set(reached))
    assert set(reached) == set(costs)
    macs, params = zip(*costs.values(), strict=True)
    assert space.cost_range == {"macs": (min(macs), max(macs)), "params": (min(params), max(params))}
    assert set(map(tuple, space.sample_costs(2000, seed=3).tolist())) <= set(costs.values())


def test_the_feasible_designs_are_exactly_those_within_the_budgets(written_out: tuple) -> None:
    text, costs = written_out
    space = space_from_text(text)
    within = {id for id, (macs, params) in costs.items() if macs <= 5e6 and params <= 500e3}
    reached = [design.id for design in exhaust(space, feasible=True)]
    assert len(reached) == len(set(reached))
    assert set(reached) == within
    share, low, high = space.feasible_share()
    assert low <= len(within) / len(costs) <= high
    assert low < share < high


def test_a_bound_from_below_leaves_exactly_the_designs_above_it(written_out: tuple) -> None:
    text, costs = written_out
    bound = sorted(macs for macs, _ in costs.values())[-200]
    space = space_from_text(bounded(text, f"{{macs: {{min: {bound}}}}}"))
    above = {id for id, (macs, _) in costs.items() if macs >= bound}
    assert {design.id for design in exhaust(space, feasible=True)} == above
    assert 200 <= len(above) < len(costs) / 2


def test_bounds_on_both_sides_leave_exactly_the_designs_between(written_out: tuple) -> None:
    text, costs = written_out
    ordered = sorted(macs for macs, _ in costs.values())
    low, high = ordered[len(ordered) // 3], ordered[len(ordered) // 3 + 60]
    space = space_from_text(bounded(text, f"{{macs: {{min: {low}, max: {high}}}}}"))
    between = {id for id, (macs, _) in costs.items() if low <= macs <= high}
    assert {design.id for design in exhaust(space, feasible=True)} == between
    assert len(between) > 60


def test_the_least_possible_value_is_the_least(written_out: tuple) -> None:
    text, costs = written_out
    least = min(params for _, params in costs.values())
    space = space_from_text(bounded(text, f"{{params: {{max: {least}}}}}"))
    assert {cost(design)[1] for design in exhaust(space, feasible=True)} == {least}
    with pytest.raises(SpaceError, match=f"the least possible value is {least:,}"):
        space_from_text(bounded(text, f"{{params: {{max: {least - 1}}}}}"))


@pytest.mark.parametrize("name", SPACES)
def test_the_tables_cost_what_the_plan_costs(name: str) -> None:
    space = load_space(name)
    designs, costs = space.sample(300, seed=5), []
    for design in designs:
        state, total = 0, np.zeros(2, dtype=np.int64)
        pieces = iter(_choices_of(space, design))
        for layer in space._chain.layers:
            table, row = layer.tables[state], next(pieces)
            total, state = total + table.costs[row], table.after[row]
        costs.append(tuple(total.tolist()))
    assert costs == [cost(design) for design in designs]
    assert len({design.id for design in designs}) > min(250, space.size() // 2)


def _choices_of(space: SearchSpace, design: Architecture) -> list[int]:
    """The row of each table that a design goes through."""
    decided, rows, state = space.decode(design), [], 0
    for layer in space._chain.layers:
        table = layer.tables[state]
        want = [
            space.decisions[d].choices.index(decided[space.decisions[d].path])
            if space.decisions[d].path in decided
            else -1
            for d in layer.decisions
        ]
        (row,) = np.flatnonzero((table.codes == want).all(axis=1)) if want else [0]
        rows.append(int(row))
        state = table.after[row]
    return rows


@pytest.mark.parametrize("name", SPACES)
def test_walks_decode_to_the_decisions_that_made_them(name: str) -> None:
    space = load_space(name)
    limits = {c.metric: c.high for c in space.budgets}
    for seed in range(200):
        made = space.realise(chooser(seed))
        assert space.decode(made.architecture) == dict(made.decisions)
        again = space.realise(lambda d, allowed, made=made: made.decisions[d.path])
        assert again.architecture.id == made.architecture.id
        macs, params = cost(made.architecture)
        assert macs <= limits.get("macs", math.inf)
        assert params <= limits.get("params", math.inf)


@pytest.mark.parametrize("name", SPACES)
def test_rules_ties_and_derived_values_hold(name: str) -> None:
    for design in load_space(name).sample(100, seed=9):
        if name == "tiny":
            first, second, third = design.stages
            assert second.dim > first.dim
            assert third.dim == 2 * second.dim
            assert first.blocks[0].block.options.get("mlp") == second.blocks[0].block.options.get("mlp")
        elif name == "pit":  # a stage may keep the width of the one before
            assert list(design.dims) == sorted(design.dims)
        else:
            assert list(design.dims) == sorted(set(design.dims))


def test_only_decisions_that_exist_are_asked(tiny: SearchSpace) -> None:
    mixer = "stages[0].blocks[0].mixer"
    (unit,) = (d for d in tiny.decisions if d.path == f"{mixer}.mask_unit")
    assert unit.when == ((mixer, "mask_unit_attention"),)
    seen = Counter()
    for seed in range(60):
        asked: dict[str, Any] = {}
        pick = chooser(seed)

        def choose(decision: Decision, allowed: tuple, asked: dict = asked, pick: Callable = pick) -> Any:
            assert decision.path not in asked
            assert set(allowed) <= set(decision.choices)
            assert all(asked[path] == value for path, value in decision.when)
            asked[decision.path] = pick(decision, allowed)
            return asked[decision.path]

        made = tiny.realise(choose)
        assert dict(made.decisions) == asked
        assert list(asked) == [d.path for d in tiny.decisions if d.path in asked]
        assert (unit.path in asked) == (asked[mixer] == "mask_unit_attention")
        seen[asked[mixer]] += 1
    assert len(seen) == 2


def test_a_choice_that_is_not_allowed_is_refused(tiny: SearchSpace) -> None:
    with pytest.raises(ValueError, match=r"stem\.dim: got 17; expected one of \[16, 24, 32\]"):
        tiny.realise(lambda decision, allowed: 17)


def test_choices_given_as_numpy_numbers_come_back_plain(tiny: SearchSpace) -> None:
    made = tiny.realise(lambda d, allowed: np.array(allowed)[0] if d.ordered else allowed[0])
    assert {type(v) for v in made.decisions.values()} == {int, str}


def test_sampling_is_uniform_over_designs() -> None:
    text = SMALL.format(dim="{choose: [16, 32, 48]}", depth="{range: [1, 3]}", heads="{choose: [1, 2, 3, 4]}")
    space = space_from_text(text)
    ids = list(designs(text))
    assert space.size() == len(ids) == 3 * (4 + 3 + 3)  # 3 heads divide only 48
    draws = 100 * len(ids)
    counts = Counter(design.id for design in space.sample(draws, seed=11))
    assert set(counts) == set(ids)
    statistic = sum((counts[i] - 100) ** 2 / 100 for i in ids)
    assert statistic < 58.3  # the 0.999 quantile of chi-squared with 29 degrees of freedom


def test_samples_depend_on_the_seed_alone(turbovit: SearchSpace) -> None:
    for feasible in (False, True):
        first = turbovit.sample(5, seed=1, feasible=feasible)
        assert first == turbovit.sample(5, seed=1, feasible=feasible)
        assert first != turbovit.sample(5, seed=2, feasible=feasible)


SMALL = """
input: {{resolution: 32}}
stem: {{pattern: conv_embed, stride: 4, dim: 16}}
stages:
  - dim: {dim}
    blocks:
      - pattern: transformer
        depth: {depth}
        mixer: {{pattern: global_attention, heads: {heads}}}
head: {{pattern: classifier, classes: 10}}
"""


@pytest.mark.parametrize(
    "bounds",
    [
        "{macs: {min: 2.5M, max: 3M}}",
        "{macs: {min: 8M}}",
        "{macs: {max: 3M}, params: {min: 300k}}",
        "{macs: {min: 2.3M, max: 3.8M}, params: {min: 250k, max: 300k}}",
        "{params: {min: 400k, max: 410k}, macs: {max: 9M}}",
        "{macs: {min: 5M, max: 5.05M}}",
    ],
)
def test_bounds_from_below_and_in_conflict_are_met_by_every_proposal(bounds: str) -> None:
    space = space_from_text(bounded(tiny_text(), bounds))
    limits = {c.metric: c for c in space.budgets}
    for seed in range(200):
        macs, params = cost(space.realise(chooser(seed)).architecture)
        for metric, value in (("macs", macs), ("params", params)):
            assert metric not in limits or limits[metric].low <= value <= limits[metric].high


def test_bounds_relative_to_a_design(tmp_path: Path) -> None:
    reference = cost(load("hiera_tiny"))
    text = bundled()["turbovit"].read_text(encoding="utf-8").partition("\nconstraints:")[0]
    (bound,) = space_from_text(f"{text}\nconstraints: {{params: {{max: 0.9, of: hiera_tiny}}}}").constraints
    assert (bound.metric, bound.high, bound.of) == ("params", 0.9 * reference[1], "")

    (tmp_path / "mine.yaml").write_text(SMALL.format(dim=32, depth=2, heads=2), encoding="utf-8")
    (tmp_path / "space.yaml").write_text(
        SMALL.format(dim="{choose: [16, 32]}", depth="{range: [1, 4]}", heads=2)
        + "constraints: {macs: {max: 1, of: mine.yaml}, latency: {max: 0.5, of: mine.yaml}}\n",
        encoding="utf-8",
    )
    space = load_space(tmp_path / "space.yaml")
    mine = load(tmp_path / "mine.yaml")
    assert space.constraints[0].high == cost(mine)[0]
    assert space.references["mine.yaml"] == mine
    assert str(space.constraints[1]) == "latency_ms <= 0.5 x mine.yaml"
    assert mine in exhaust(space, feasible=True)
    assert len(exhaust(space, feasible=True)) < space.size()


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ("{params: {max: 5k}}", "constraints.params.max: got 5,000; the least possible value is 42,138"),
        ("{macs: {min: 9G}}", "constraints.macs.min: got 9,000,000,000; the greatest possible is 16,854,912"),
        ("{params: {max: 45k}, macs: {min: 14M}}", "each can be met alone, but no design meets params <= 45000 and"),
    ],
)
def test_impossible_bounds_name_what_is_possible(bounds: str, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space_from_text(bounded(tiny_text(), bounds), "f.yaml")
    (line,) = caught.value.problems
    assert said in line
    assert line.startswith("f.yaml:46:")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"heads": "{choose: [2, 5]}"}, "f:9:51: stages[0].blocks[0].mixer.heads: no design can use 5: stages[0].blocks[0]"),
        ({"heads": "{choose: [2, 5]}"}, "mixer.heads: got 5; expected a divisor of the width 32"),
        ({"heads": 5}, "f:9:51: stages[0].blocks[0].mixer.heads: got 5; expected a divisor of the width 32"),
        ({"depth": 0}, "stages[0].blocks: the stage has no block"),
        ({"heads": "{choose: [3, 5]}"}, "f:9:51: no design of the space is possible: stages[0].blocks[0].mixer.heads: got"),
        ({"dim": "{choose: [16, 32]}", "rules": "[stages.0.dim > 16]"}, "no design can use 16: rules[0]: 'stages.0.dim > 16'"),
        ({"rules": "[stages.0.dim > 32]"}, "f:11:9: rules[0]: no design satisfies 'stages.0.dim > 32'"),
        ({"dim": "{choose: [16, 32]}", "rules": "[1 / (stages.0.dim - stages.0.dim) > 1]"}, "rules[0]: 1 / (stages.0.dim"),
        ({"dim": 10**9, "depth": 900}, "stages[0].blocks[0]: costs more than 1e+15 macs"),
    ],
)  # fmt: skip
def test_what_no_design_can_use_is_an_error(given: dict, said: str) -> None:
    rules = given.pop("rules", None)
    text = SMALL.format(**{"dim": 32, "depth": 1, "heads": 2, **given}) + (f"rules: {rules}\n" if rules else "")
    with pytest.raises(SpaceError) as caught:
        space_from_text(text, "f")
    (line,) = caught.value.problems
    assert said in line


def test_choices_that_make_the_same_design_are_counted_once() -> None:
    mlp = "        mlp: {{choose: [{{pattern: mlp, ratio: {{choose: [2, 3]}}}}, {{pattern: mlp, ratio: {{choose: [3, 4]}}}}]}}"
    text = (SMALL + "rules: [stages.0.dim > 1]\n").format(dim=16, depth=1, heads=2)
    lines = [*text.splitlines()[:9], mlp.format(), *text.splitlines()[9:]]
    with pytest.raises(SpaceError) as caught:
        space_from_text("\n".join(lines))
    (line,) = caught.value.problems
    assert line.endswith("mlp(mlp#2).ratio: no design can use 3: other choices make the same designs")


def test_a_space_too_large_for_its_tables_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 50)
    with pytest.raises(SpaceError, match=r"f:7:9: the tables take more than .* rows"):
        space_from_text(SMALL.format(dim=32, depth="{range: [1, 60]}", heads="{choose: [1, 2]}"), "f")


def test_an_absent_block_leaves_nothing_to_decide() -> None:
    text = SMALL.format(dim="{choose: [16, 32]}", depth=1, heads="{choose: [1, 2]}")
    second = "      - {pattern: transformer, depth: {range: [0, 2]}, mixer: {pattern: global_attention, heads: {choose: [1, 2]}}}"
    head, tail = text.split("head:")
    text = f"{head}{second}\nhead:{tail}"
    space = space_from_text(text)
    found = exhaust(space, feasible=True)
    assert space.size() == len(found) == len(designs(text)) == 2 * 2 * (1 + 2 * 2)
    for design in found:
        decided = space.decode(design)
        assert (decided["stages[0].blocks[1].depth"] == 0) == ("stages[0].blocks[1].mixer.heads" not in decided)
    none = [design for design in found if design.stages[0].blocks[1].depth == 0]
    assert {design.depths for design in none} == {(1,)}
    assert len({cost(design) for design in none}) == 2


def test_a_file_of_macro_decisions() -> None:
    text = """
input: {resolution: {choose: [32, 64]}, channels: {choose: [1, 3]}}
stem: {choose: [{pattern: conv_embed, stride: 4, dim: 16}, {pattern: conv_embed, stride: 8, dim: {choose: [16, 32]}}]}
stages:
  - dim: {choose: [16, 32]}
    blocks:
      - {pattern: transformer, depth: 1, mixer: {pattern: mask_unit_attention, mask_unit: 4, heads: 2}}
  - entry: {choose: [q_pool, {pattern: q_pool, lag: false}, null]}
    dim: {choose: [16, 32]}
    blocks:
      - choose:
          - {pattern: transformer, depth: {range: [1, 2]}, mixer: {pattern: global_attention, heads: 2}}
          - {pattern: transformer, depth: 1, mixer: {pattern: mask_unit_attention, mask_unit: 8, heads: {choose: [1, 2]}}}
      - {pattern: transformer, depth: {choose: [0, 1]}, mixer: {pattern: global_attention, heads: 4}}
head: {choose: [{pattern: classifier, classes: 10}, {pattern: classifier, classes: 10, dropout: {choose: [0.1, 0.2]}}]}
"""
    space = space_from_text(text)
    expected = designs(text)
    assert space.size() == len(expected)
    assert {design.id: cost(design) for design in exhaust(space, feasible=False)} == expected
    assert {"input.resolution", "input.channels", "stem", "stages[1].entry", "stages[1].blocks[0]", "head"} <= {
        decision.path for decision in space.decisions
    }
