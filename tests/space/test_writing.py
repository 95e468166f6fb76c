"""Writing thousands of designs at a time gives what the walk gives, decision by decision, within every bound."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from space.brute import exhaust
from space.test_properties import attempt, spaces

from gas.architecture import Spec
from gas.errors import SpaceError
from gas.patterns.base import Flow
from gas.space import Decision, SearchSpace, bundled, load_space, space_from_text
from gas.space.designs import Designs
from gas.space.writing import CHUNK

TIED = """
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, dim: 16}
stages:
  - dim: {choose: [16, 24]}
    blocks: [{pattern: transformer, depth: {choose: [1, 2, 3]}, mixer: {pattern: global_attention, heads: 2}}]
head: {pattern: classifier, classes: 10}
rules: ["stages[0].dim == 16 or stages[0].blocks[0].depth != 2"]
"""
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@cache
def tiny() -> SearchSpace:
    return load_space("tiny")


def price(spec: Spec, flow: Flow) -> float:
    """Something that is neither macs nor params."""
    return 0.1 + 0.01 * flow.dim + 0.37 * (len(str(spec)) % 5)


@cache
def priced() -> SearchSpace:
    """`tiny` with a third bound, from both sides, on a cost with fractions."""
    sums = tiny().priced("made_up", price).exact_costs(every(tiny()))["made_up"]
    low, high = np.quantile(sums[tiny().within(every(tiny()))], [0.2, 0.5])
    return tiny().priced("made_up", price, low=float(low), high=float(high))


def every(space: SearchSpace) -> Designs:
    return space.designs(rows=space.arrays.every())


def wishes(space: SearchSpace, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Uniform wishes."""
    choices = [len(d.choices) for d in space.decisions]
    return np.random.default_rng(seed).integers(0, choices, size=(count, len(choices)))


def walked(space: SearchSpace, wish: NDArray, *, feasible: bool) -> tuple[str, bool]:
    """The id of the design that a walk comes to which takes the nearest choice, and whether it was free of ties."""
    at = {d.path: int(w) for d, w in zip(space.decisions, wish, strict=True)}
    clear = True

    def nearest(decision: Decision, allowed: tuple) -> object:
        nonlocal clear
        wanted = at[decision.path]
        far = [abs(decision.choices.index(value) - wanted) for value in allowed]
        if not decision.ordered and min(far) > 0:
            far = [0] * len(far)
        clear &= far.count(min(far)) == 1
        return allowed[far.index(min(far))]

    return space.realise(nearest, feasible=feasible).architecture.id, clear


@pytest.mark.parametrize("feasible", [True, False])
@pytest.mark.parametrize("make", [tiny, priced])
def test_it_writes_what_the_walk_comes_to(make: object, feasible: bool) -> None:
    space = make()
    wished = wishes(space, 400)
    designs, inside = space.writer(feasible=feasible).write(wished, np.random.default_rng(0))
    compared = 0
    for number in range(len(wished)):
        expected, clear = walked(space, wished[number], feasible=feasible)
        # Bounds are looked at one by one where the walk looks at them together, which differs near several of them.
        if clear and inside[number] and (not feasible or make is tiny):
            compared += 1
            assert designs[number].id == expected
    assert compared > 100 or (feasible and make is priced)
    assert inside.all() or feasible


@settings(max_examples=15, suppress_health_check=SLOW)
@given(spaces(), st.integers(0, 1000), st.data())
def test_random_spaces_are_written_as_they_are_walked(text: str, seed: int, data: st.DataObject) -> None:
    note(text)
    space = attempt(text)
    if isinstance(space, SpaceError):
        return
    designs = every(space)
    assert len(designs) == space.size()
    assert {design.id for design in designs} == {design.id for design in exhaust(space, feasible=False)}
    bounded = attempt(text + bounds(designs, data))
    for one in [space] if isinstance(bounded, SpaceError) else [space, bounded]:
        check_written(one, seed)


def bounds(designs: Designs, data: st.DataObject) -> str:
    """A window of macs, and at most so many params, around some of the designs."""
    low, high = sorted(data.draw(st.tuples(*[st.sampled_from(sorted(set(designs.macs.tolist())))] * 2)))
    most = data.draw(st.sampled_from(sorted(set(designs.params.tolist()))))
    return f"\nconstraints: {{macs: {{min: {low}, max: {high}}}, params: {{max: {most}}}}}\n"


def check_written(space: SearchSpace, seed: int) -> None:
    designs, members = every(space), set(map(tuple, space.arrays.every().tolist()))
    allowed = space.within(designs)
    rng = np.random.default_rng(seed)
    written, inside = space.writer().write(wishes(space, 60, seed), rng)
    assert set(map(tuple, written.rows.tolist())) <= members
    np.testing.assert_array_equal(inside, space.within(written))
    if allowed.any():  # members within the bounds give themselves back
        again, kept = space.writer().write(designs[allowed].codes, rng)
        np.testing.assert_array_equal(again.rows, designs[allowed].rows)
        assert kept.all()
    if len(space.budgets) < 2 and allowed.any() and all(c.low == -np.inf for c in space.budgets):
        assert inside.all()  # one bound from above never closes a way without its being known
    free, _ = space.writer(feasible=False).write(designs.codes, rng)
    np.testing.assert_array_equal(free.rows, designs.rows)


@pytest.mark.parametrize("metric", ["macs", "params", "made_up"])
@pytest.mark.parametrize("end", ["low", "high"])
def test_one_bound_is_always_kept_to(metric: str, end: str) -> None:
    sums = tiny().priced("made_up", price).exact_costs(every(tiny()))[metric]
    bound = {end: round(float(np.quantile(sums, 0.02 if end == "high" else 0.98)), 3)}
    data = yaml.safe_load(bundled()["tiny"].read_text(encoding="utf-8"))
    data["constraints"] = {} if metric == "made_up" else {metric: {"max" if end == "high" else "min": bound[end]}}
    space = space_from_text(yaml.safe_dump(data))
    space = space.priced("made_up", price, **(bound if metric == "made_up" else {}))
    designs, inside = space.writer().write(wishes(space, 5000), np.random.default_rng(1))
    assert inside.all()
    told = space.exact_costs(designs)[metric]
    slack = 1e-12 * (metric == "made_up")  # sums of fractions come out a little different from each end
    assert (told <= bound["high"] * (1 + slack) if end == "high" else told >= bound["low"] * (1 - slack)).all()
    assert len({row.tobytes() for row in np.ascontiguousarray(designs.rows)}) > 100


def test_within_is_what_the_costs_say() -> None:
    space = priced()
    designs = every(space)
    costs = space.exact_costs(designs)
    assert list(costs) == list(space.exact_metrics) == ["macs", "params", "made_up"]
    np.testing.assert_array_equal(costs["macs"], designs.macs)
    expected = np.ones(len(designs), dtype=bool)
    for bound in space.constraints:
        if bound.metric in costs:
            expected &= [bound.violation(value) == 0 for value in costs[bound.metric]]
    np.testing.assert_array_equal(space.within(designs), expected)
    assert 0 < expected.sum() < tiny().within(every(tiny())).sum()
    assert tiny().exact_metrics == ("macs", "params")


def test_every_design_of_a_space_once() -> None:
    rows = tiny().arrays.every()
    assert len(rows) == len(np.unique(rows, axis=0)) == tiny().size()
    assert len(tiny().designs(rows=rows)) == tiny().size()  # looked at row by row


def test_a_wish_is_told_what_was_chosen_before() -> None:
    space, asked = tiny(), {}
    wished = wishes(space, 3000, 5)

    def wish(decision: int, which: slice, before: NDArray) -> NDArray:
        asked.setdefault(decision, []).append((which, before.copy()))
        return wished[which, decision]

    designs, _ = space.writer().write(wish, np.random.default_rng(2), count=len(wished))
    assert list(asked) == list(range(len(space.decisions)))
    for decision, calls in asked.items():
        expected = designs.codes[:, decision - 1] if decision else np.full(len(wished), -1)
        for which, before in calls:
            np.testing.assert_array_equal(before, expected[which])
    assert (designs.codes == -1).any()  # so that there were decisions that did not exist


def test_more_than_one_chunk_and_none_at_all() -> None:
    count = CHUNK + 10
    designs, inside = tiny().writer().write(wishes(tiny(), count, 3), np.random.default_rng(0))
    assert len(designs) == len(inside) == count
    np.testing.assert_array_equal(inside, tiny().within(designs))
    nothing, inside = tiny().writer().write(wishes(tiny(), 0), np.random.default_rng(0))
    assert len(nothing) == len(inside) == 0


def test_ties_are_drawn_and_the_same_seed_draws_the_same() -> None:
    space = space_from_text(TIED)
    wished = np.array([[1, 1]] * 400)  # 24 channels, and twice as deep as these can be, or not
    first, again = (space.writer().write(wished, np.random.default_rng(0))[0].codes for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert set(first[:, 0]) == {1}
    counts = np.bincount(first[:, 1], minlength=3)
    assert counts[1] == 0
    assert 150 < counts[0] < 250
    kept, _ = space.writer().write(np.array([[0, 1]] * 20), np.random.default_rng(0))
    assert set(kept.codes[:, 1]) == {1}


def test_wishes_beyond_the_choices_mean_the_last_ones() -> None:
    writer, rng = tiny().writer(feasible=False), np.random.default_rng(0)
    last = np.array([[len(d.choices) - 1 for d in tiny().decisions]] * 20)
    far, _ = writer.write(last + 1000, rng)
    assert (far.codes[0] >= 0).any()
    ordered = np.array([d.ordered for d in tiny().decisions])
    largest, _ = writer.write(last, rng)
    np.testing.assert_array_equal(far.codes[:, ordered].max(axis=0), largest.codes[:, ordered].max(axis=0))


@pytest.mark.parametrize(("wished", "text"), [([[0]], "shape"), ([[0.5] * 11], "integers")])
def test_wishes_of_another_shape_or_kind_are_refused(wished: list, text: str) -> None:
    with pytest.raises(SpaceError, match=text):
        tiny().writer().write(np.array(wished), np.random.default_rng(0))
