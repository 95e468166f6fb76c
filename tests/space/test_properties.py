"""Random small spaces against brute force, and random damage to files: a space or a SpaceError, never anything else."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from space.brute import designs, exhaust, values_used

from gas.errors import SpaceError
from gas.plan import plan
from gas.space import SearchSpace, bundled, space_from_text
from gas.space.expressions import ExpressionError, parse_expression

DIMS = (8, 12, 16, 24)
RATIOS = (1, 2, 2.5, 4)


def attempt(text: str) -> SearchSpace | SpaceError:
    try:
        return space_from_text(text, "f.yaml")
    except SpaceError as error:
        return error


def decided(draw: st.DrawFn, values: tuple, *, at_most: int = 2) -> Any:
    """One of the values, or a choice among some."""
    some = draw(st.lists(st.sampled_from(values), min_size=1, max_size=at_most, unique=True))
    return some[0] if len(some) == 1 and draw(st.booleans()) else {"choose": some}


def attention(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(st.sampled_from(["heads", "head_dim"]))
    mixer: dict[str, Any] = {"pattern": "global_attention", key: decided(draw, (1, 2, 3, 4))}
    if draw(st.booleans()):
        mixer |= {"pattern": "mask_unit_attention", "mask_unit": decided(draw, (2, 4, 8))}
    return mixer


def distinct(draw: st.DrawFn, make: Any) -> Any:
    """A thing, or a choice among two that are not written alike."""
    some = [make(draw)]
    if draw(st.booleans()):
        other = make(draw)
        some += [other] * (other != some[0])
    return some[0] if len(some) == 1 else {"choose": some}


def channel_mixer(draw: st.DrawFn, earlier: list[str]) -> Any:
    form = draw(st.sampled_from(["left out", "bare", "plain", "decided", "branches", "tied", "tied whole"]))
    if form == "bare":
        return "mlp"
    if form == "branches":
        low, high = RATIOS[:2], RATIOS[2:]
        ratios = [decided(draw, low), decided(draw, high)]
        return {"choose": [{"pattern": "mlp", "ratio": ratio} for ratio in ratios]}
    if form == "tied" and earlier:
        return {"pattern": "mlp", "ratio": {"same": f"{draw(st.sampled_from(earlier))}.ratio"}}
    if form == "tied whole" and earlier:
        return {"same": draw(st.sampled_from(earlier))}
    if form == "left out":
        return None
    return {"pattern": "mlp", "ratio": decided(draw, RATIOS) if form == "decided" else draw(st.sampled_from(RATIOS))}


def group(draw: st.DrawFn, path: str, earlier: list[str], least: int) -> dict[str, Any]:
    depth: Any = draw(st.sampled_from([1, 2, {"range": [least, 2]}, {"choose": [2, 1]}]))
    block: dict[str, Any] = {"pattern": "transformer", "depth": depth, "mixer": distinct(draw, attention)}
    mlp = channel_mixer(draw, earlier)
    if mlp is not None:
        block["mlp"] = mlp
        earlier.append(f"{path}.mlp")
    return block


@st.composite
def spaces(draw: st.DrawFn) -> str:
    """YAML of a space with a few hundred designs at most (most combinations are impossible, as in real ones)."""
    stages, earlier = [], []
    for i in range(draw(st.integers(1, 2))):
        dim = decided(draw, DIMS, at_most=3)
        if i and draw(st.booleans()):
            dim = {"derive": draw(st.sampled_from(["2 * stages[0].dim", "stages[0].dim + stem.dim", "stem.dim"]))}
        groups = [group(draw, f"stages[{i}].blocks[0]", earlier, 1)]
        if not i and draw(st.integers(0, 3)) == 0:
            groups.append(group(draw, f"stages[{i}].blocks[1]", earlier, 0))
        stages.append({"dim": dim, "blocks": groups})
        if i:
            entries = ["q_pool", {"pattern": "q_pool", "lag": False}, {"choose": ["q_pool", None]}]
            stages[i]["entry"] = draw(st.sampled_from(entries))
    data: dict[str, Any] = {
        "input": {"resolution": decided(draw, (16, 32))},
        "stem": {"pattern": "conv_embed", "kernel": 3, "stride": decided(draw, (2, 4)), "dim": decided(draw, DIMS)},
        "stages": stages,
        "head": {"pattern": "classifier", "classes": 10},
    }
    rules = ["stages[0].dim >= stem.dim", "stages[0].blocks[0].mixer.heads != 3", "input.resolution / stem.stride == 8"]
    if len(stages) == 2:
        rules += ["stages[1].dim > stages[0].dim", "stages[0].blocks[0].mlp.ratio <= 2 or stages[1].dim < 24"]
    chosen = draw(st.lists(st.sampled_from(rules), max_size=2, unique=True))
    if chosen:
        data["rules"] = chosen
    return yaml.safe_dump(data, sort_keys=False)


def check_against_brute_force(text: str, data: st.DataObject) -> None:
    note(text)
    expected = designs(text)
    space = attempt(text)
    if isinstance(space, SpaceError):  # nothing is possible, or some choice never is
        assert not expected or all("no design can use" in line for line in space.problems), space
        check_refusals(space, text)
        return
    found = exhaust(space, feasible=True)
    assert space.size() == len(found) == len(expected)
    assert {design.id: (plan(design).cost.macs, plan(design).cost.params) for design in found} == expected
    check_walks(space, data)
    check_bounds(text, expected, data)


def check_refusals(error: SpaceError, text: str) -> None:
    """A choice that is said to be unused is not found in any design (branches and empty groups left aside)."""
    used = values_used(text)
    for line in error.problems:
        found = re.search(r": (\S+): no design can use (\S+?)(:| where|$)", line)
        elsewhere = found and (" where " in line or "(" in found[1] or "#" in found[2] or "blocks[1]" in found[1])
        if found and not elsewhere:
            assert "other choices" in line or found[2] not in used.get(found[1], set()), line


def check_walks(space: SearchSpace, data: st.DataObject) -> None:
    assert len({d.path for d in space.decisions}) == len(space.decisions)
    for _ in range(3):
        made = space.realise(lambda decision, allowed: data.draw(st.sampled_from(allowed)))
        assert space.decode(made.architecture) == dict(made.decisions)
        again = space.realise(lambda decision, allowed, made=made: made.decisions[decision.path])
        assert again.architecture == made.architecture


def check_bounds(text: str, expected: dict[str, tuple[int, int]], data: st.DataObject) -> None:
    """Two-sided bounds around some designs: the feasible ones are exactly those within, where that can be known."""
    macs, params = (sorted(costs) for costs in zip(*expected.values(), strict=True))
    low, high = sorted(data.draw(st.tuples(st.sampled_from(macs), st.sampled_from(macs))))
    most = data.draw(st.sampled_from(params))
    within = {id for id, (m, p) in expected.items() if low <= m <= high and p <= most}
    bounds = f"\nconstraints: {{macs: {{min: {low}, max: {high}}}, params: {{max: {most}}}}}\n"
    space = attempt(text + bounds)
    if isinstance(space, SpaceError):
        assert not within or "no design was found that meets" in str(space)
        assert "but no design " in str(space)
        return
    found = {design.id for design in exhaust(space, feasible=True)}
    assert found == within if space._budgets.exact else found <= within


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces(), st.data())
def test_random_spaces_are_what_brute_force_says(text: str, data: st.DataObject) -> None:
    check_against_brute_force(text, data)


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces(), st.data())
def test_many_random_spaces_are_what_brute_force_says(text: str, data: st.DataObject) -> None:
    check_against_brute_force(text, data)


def read(text: str) -> None:
    """A space or a SpaceError of printable lines; whatever else is raised fails the test."""
    space = attempt(text)
    if isinstance(space, SpaceError):
        assert space.problems
        assert all(line.startswith("f.yaml") and line.isprintable() for line in space.problems), space.problems
        return
    assert space.size() >= 1
    assert math.isfinite(sum(space.cost_range["macs"]))
    assert space.sample(1)[0] in space


@settings(max_examples=40)
@given(st.text())
@example("\x00")
@example("a: [")
@example("? [a]: b")
@example("stages: [~]\ninput: ~\nstem: ~\nhead: ~")
@example("stages: [{dim: ~, blocks: [~]}]\ninput: {resolution: []}\nstem: {}\nhead: {pattern: ~}")
def test_any_text_is_a_space_or_a_space_error(text: str) -> None:
    read(text)


SCALARS = [
    "~",
    "[]",
    "{}",
    "on",
    "1e3",
    "-1",
    "0",
    "x",
    "'3'",
    "{choose: [1, x]}",
    "{range: [3, 1]}",
    "{same: stem}",
    "&a *a",
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A bundled file with a line left out, doubled, moved, indented, cut, or with another value."""
    name = draw(st.sampled_from(["tiny", "tiny", "zoo/hiera_tiny"]))
    lines = bundled()[name].read_text(encoding="utf-8").splitlines()
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["delete", "double", "move", "indent", "cut", "value", "letter", "number"]))
        line = lines[at]
        if kind in ("delete", "move"):
            lines.pop(at)
        if kind in ("double", "move"):
            lines.insert(draw(st.integers(0, len(lines))), line)
        if kind == "indent":
            lines[at] = draw(st.sampled_from(["  ", " ", "\t"])) + line
        if kind == "cut":
            lines[at] = line[: draw(st.integers(0, len(line)))]
        if kind == "value" and ": " in line:
            lines[at] = f"{line.rpartition(': ')[0]}: {draw(st.sampled_from(SCALARS))}"
        if kind == "letter" and line:
            spot = draw(st.integers(0, len(line) - 1))
            lines[at] = line[:spot] + draw(st.sampled_from("x[]{}:,-#&*!'\"9 ")) + line[spot + 1 :]
        if kind == "number":
            lines[at] = "".join(draw(st.sampled_from("0123456789.")) if c.isdigit() else c for c in line)
    return "\n".join(lines)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_file_is_a_space_or_a_space_error(text: str) -> None:
    note(text)
    read(text)


@pytest.mark.slow
@settings(max_examples=800, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_many_damaged_files_are_spaces_or_space_errors(text: str) -> None:
    note(text)
    read(text)


WORDS = [
    "stages[0].dim",
    "stem.dim",
    "1",
    "2.5",
    "'a'",
    "+",
    "-",
    "*",
    "/",
    "%",
    "<",
    "==",
    "in",
    "not",
    "and",
    "(",
    ")",
    ",",
]


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*WORDS, "[", "]", "min", "sum", "lambda", ":", "**"]), max_size=9).map(" ".join))
def test_any_expression_is_worked_out_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        parse_expression(text)({"stages[0].dim": 0, "stem.dim": 16, "min": 1, "sum": 2, "stages": 3})
