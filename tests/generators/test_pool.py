"""The designs that are screened: all within the bounds, near to their parents, each once."""

from __future__ import annotations

import numpy as np
import pytest
from generators.stand_in import stand_in
from generators.surface import space

from gas.generators._policy import Policy
from gas.generators._pool import Pool, joined, keys, without
from gas.space import SearchSpace


def pool(of: SearchSpace | None = None, *, feasible: bool = True, seed: int = 0) -> Pool:
    return Pool(of or space(), feasible=feasible, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("feasible", [True, False])
def test_whatever_it_draws_is_a_design_and_within_the_bounds_where_asked(feasible: bool) -> None:
    drawn = pool(feasible=feasible)
    parents = space().sample_feasible(50, 0).codes
    parts = {
        "anywhere": drawn.anywhere(2000),
        "policy": drawn.policy(Policy(space().decisions), 2000),
        "children": drawn.children(parents, 2000),
        "near": drawn.near(drawn.filled(parents)),
    }
    for name, designs in parts.items():
        assert len(designs) > 0.95 * (50 if name == "near" else 2000), name
        assert len(space().designs(rows=designs.rows)) == len(designs)  # looked at row by row
        inside = space().within(designs)
        assert inside.all() if feasible or name == "near" else not inside.all(), name
        for number, decision in enumerate(space().decisions):
            if name != "near" and not decision.when:
                assert set(designs.codes[:, number]) == set(range(len(decision.choices))), (name, decision.path)
    np.testing.assert_array_equal(parts["near"].codes, parents)


def test_a_small_space_is_there_as_a_whole() -> None:
    twin = stand_in().twin
    whole = pool(twin).whole
    assert whole is not None
    assert {design.id for design in whole} == {design.id for design in _members()}
    assert len(pool(twin, feasible=False).whole) == twin.size() > len(whole)
    assert pool().whole is None


def _members() -> list:
    left, found = [stand_in().tree], []
    while left:
        node = left.pop()
        found += [node["end"]] if "end" in node else []
        left += [behind for way, behind in node.items() if way != "end"]
    return found


def test_children_differ_little_from_a_parent_and_their_changes_step() -> None:
    parent = space().sample_feasible(1, 3)
    children = pool(feasible=False).children(parent.codes, 4000)
    both = (children.codes >= 0) & (parent.codes >= 0)
    changed = (children.codes != parent.codes) & both
    assert 0.8 < changed.sum(axis=1).mean() < 2.4  # 1, 2 or 4 are drawn, and some of them draw what was there
    ordered = np.array([d.ordered and len(d.choices) > 2 for d in space().decisions])
    moves = np.abs(children.codes - parent.codes)[:, ordered][changed[:, ordered]]
    assert (moves == 1).mean() > 0.6
    assert (moves > 1).any()


def test_parents_have_children_as_often_as_they_should() -> None:
    parents = space().sample_feasible(2, 5)
    chances = np.array([0.9, 0.1])
    children = pool().children(parents.codes, 3000, chances)
    nearer = (children.codes == parents.codes[0]).sum(axis=1) - (children.codes == parents.codes[1]).sum(axis=1)
    assert 0.8 < (nearer[nearer != 0] > 0).mean() < 0.95


def test_some_children_have_two_parents() -> None:
    parents = space().sample_feasible(2, 7)
    children = pool(feasible=False).children(parents.codes, 2000)
    apart = (parents.codes[0] != parents.codes[1]) & (parents.codes >= 0).all(axis=0)
    first = (children.codes == parents.codes[0])[:, apart].sum(axis=1)
    second = (children.codes == parents.codes[1])[:, apart].sum(axis=1)
    mixed = (first >= 3) & (second >= 3)
    assert apart.sum() >= 7
    assert 0.05 < mixed.mean() < 0.5


def test_wishes_are_filled_where_a_decision_does_not_exist_and_kept_elsewhere() -> None:
    codes = space().sample_feasible(500, 1).codes
    filled = pool().filled(codes)
    assert (codes < 0).any()
    assert (filled[codes >= 0] == codes[codes >= 0]).all()
    choices = np.array([len(d.choices) for d in space().decisions])
    assert ((filled >= 0) & (filled < choices)).all()
    assert all(len(set(column[lost])) > 1 for column, lost in zip(filled.T, (codes < 0).T, strict=True) if lost.any())


def test_near_all_says_which_are_outside() -> None:
    made_up = lambda spec, flow: float(flow.dim)  # noqa: E731
    sums = space().priced("made_up", made_up).exact_costs(space().sample_feasible(2000, 0))["made_up"]
    narrow = space().priced("made_up", made_up, low=float(np.quantile(sums, 0.98)))
    drawn = pool(narrow)
    designs, inside = drawn.near_all(drawn.filled(space().sample_feasible(3000, 1).codes))
    np.testing.assert_array_equal(inside, narrow.within(designs))
    assert 0.5 < inside.mean() < 1.0  # three bounds against one another: not every way that they close is foreseen
    near = drawn.near(drawn.filled(space().sample_feasible(3000, 1).codes))
    assert len(near) < 3000
    assert narrow.within(near).all()
    free = pool(narrow, feasible=False)
    assert free.near_all(free.filled(space().sample_feasible(100, 1).codes))[1].all()


def test_keys_tell_designs_apart() -> None:
    rows = stand_in().twin.arrays.every()
    assert len(np.unique(keys(rows))) == len(rows)
    np.testing.assert_array_equal(keys(rows[::-1]), keys(rows)[::-1])


def test_joined_has_each_once_in_order_and_without_leaves_out() -> None:
    drawn = space().sample_feasible(300, 0)
    parts = [drawn[np.array([4, 2, 4])], drawn[np.array([2, 9, 1])]]
    np.testing.assert_array_equal(joined(parts).rows, drawn[np.array([4, 2, 9, 1])].rows)
    left = without(drawn, parts[0])
    gone = set(map(tuple, parts[0].rows.tolist()))
    np.testing.assert_array_equal(left.rows, [row for row in drawn.rows.tolist() if tuple(row) not in gone])
