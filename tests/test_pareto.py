"""Pareto arithmetic against the definitions, written out by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gas.pareto import crowding, hypervolume, knee, non_dominated, ranks

# Few different values, so that ties and equal rows are the rule; NaN now and then.
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, math.nan])


@st.composite
def tables(draw: st.DrawFn, *, nan: bool = True) -> NDArray[np.float64]:
    columns = draw(st.integers(1, 4))
    values = VALUES if nan else VALUES.filter(lambda v: not math.isnan(v))
    rows = draw(st.lists(st.lists(values, min_size=columns, max_size=columns), min_size=1, max_size=14))
    return np.array(rows)


def dominates(a: NDArray, b: NDArray) -> bool:
    return bool((a <= b).all() and (a < b).any())


def known(points: NDArray) -> list[int]:
    return [i for i, row in enumerate(points) if not np.isnan(row).any()]


def fronts(points: NDArray) -> list[int]:
    """Front numbers by peeling; rows with NaN behind the last."""
    left, result, number = set(known(points)), [0] * len(points), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            result[i] = number
        left -= front
        number += 1
    return [number if i not in known(points) else result[i] for i in range(len(points))]


@given(tables())
def test_non_dominated_is_its_definition(points: NDArray) -> None:
    complete = known(points)
    expected = [
        i in complete and not any(dominates(points[j], points[i]) for j in complete) for i in range(len(points))
    ]
    assert non_dominated(points).tolist() == expected


@given(tables())
def test_ranks_are_fronts_peeled_off(points: NDArray) -> None:
    assert ranks(points).tolist() == fronts(points)
    assert ((ranks(points) == 0) & ~np.isnan(points).any(axis=1)).tolist() == non_dominated(points).tolist()


def inclusion_exclusion(points: NDArray, reference: NDArray) -> float:
    """Volume of a union of boxes by inclusion and exclusion."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in itertools.combinations(points, size):
            total -= (-1) ** size * np.prod(np.maximum(reference - np.max(subset, axis=0), 0))
    return float(total)


@given(tables(nan=False).filter(lambda t: len(t) <= 9))
def test_hypervolume_is_the_volume_of_a_union_of_boxes(points: NDArray) -> None:
    reference = np.full(points.shape[1], 3.5)
    inside = np.unique(points, axis=0)
    assert hypervolume(points, reference) == pytest.approx(inclusion_exclusion(inside, reference), abs=1e-9)


@given(tables())
def test_rows_that_are_incomplete_or_dominated_add_no_volume(points: NDArray) -> None:
    reference = np.full(points.shape[1], 5.0)
    whole = hypervolume(points, reference)
    assert whole == pytest.approx(hypervolume(points[non_dominated(points)], reference))
    with_nan = np.vstack([points, np.full(points.shape[1], math.nan)])
    assert hypervolume(with_nan, reference) == pytest.approx(whole)


def test_hypervolume_by_hand() -> None:
    assert hypervolume([[1, 2], [2, 1]], [3, 3]) == pytest.approx(3.0)
    assert hypervolume([[3, 1]], [3, 3]) == 0  # on the border: no volume
    assert hypervolume([[4, 0], [math.nan, 0]], [3, 3]) == 0
    assert hypervolume(np.empty((0, 2)), [3, 3]) == 0
    assert hypervolume([], [3, 3]) == 0


@given(tables(nan=False))
def test_crowding_is_its_definition(points: NDArray) -> None:
    got = crowding(points)
    for column in points.T:
        if column.max() > column.min():
            assert np.isinf(got[column == column.min()]).any()
            assert np.isinf(got[column == column.max()]).any()
    different = all(len(set(column)) == len(column) for column in points.T)
    if different and len(points) > 1:
        assert got.tolist() == pytest.approx(crowding_of_distinct(points))


def crowding_of_distinct(points: NDArray) -> list[float]:
    """Deb's distance, row by row, where no column holds a value twice."""
    result = []
    for row in points:
        distance = 0.0
        for value, column in zip(row, points.T, strict=True):
            below, above = column[column < value], column[column > value]
            gap = above.min() - below.max() if len(below) and len(above) else math.inf
            distance += gap / (column.max() - column.min())
        result.append(distance)
    return result


def test_crowding_by_hand() -> None:
    front = [[0, 10], [1, 6], [4, 3], [10, 0]]
    assert crowding(front).tolist() == pytest.approx([math.inf, 4 / 10 + 7 / 10, 9 / 10 + 6 / 10, math.inf])
    shuffled = [2, 0, 3, 1]
    assert crowding(np.array(front)[shuffled]).tolist() == crowding(front)[shuffled].tolist()
    assert crowding([[1, 5], [1, 7]]).tolist() == [math.inf, math.inf]  # the first column has no spread
    assert crowding([[1, 1], [1, 1], [1, 1]]).tolist() == [0, 0, 0]
    assert crowding([[0, 1], [math.nan, 3], [2, 0]]).tolist() == [math.inf, 0, math.inf]


def test_knee_by_hand() -> None:
    assert knee([[0, 10], [2, 2], [10, 0]]) == 1
    assert knee([[0, 10], [5, 5], [10, 0]]) == 0  # a straight front: the first of equals
    assert knee([[0, 1000], [0.2, 200], [1, 0]]) == 1  # columns are scaled
    assert knee([[math.nan, 0], [3, 3]]) == 1
    assert knee([[7, 7]]) == 0
    with pytest.raises(ValueError, match="no knee"):
        knee([[math.nan, 0]])


@given(tables(nan=False), st.floats(0.1, 10), st.floats(-5, 5))
def test_scaling_and_shifting_a_column_changes_no_order(points: NDArray, scale: float, shift: float) -> None:
    moved = points.copy()
    moved[:, 0] = moved[:, 0] * scale + shift
    assert non_dominated(moved).tolist() == non_dominated(points).tolist()
    assert ranks(moved).tolist() == ranks(points).tolist()


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(points: NDArray, rng) -> None:
    order = list(range(len(points)))
    rng.shuffle(order)
    assert non_dominated(points[order]).tolist() == non_dominated(points)[order].tolist()
    assert ranks(points[order]).tolist() == ranks(points)[order].tolist()


@pytest.mark.parametrize("empty", [[], np.empty((0, 3))])
def test_nothing_in_nothing_out(empty) -> None:
    for function in (non_dominated, ranks, crowding):
        assert function(empty).shape == (0,)


def test_only_incomplete_rows() -> None:
    points = [[math.nan, 1], [2, math.nan]]
    assert non_dominated(points).tolist() == [False, False]
    assert ranks(points).tolist() == [0, 0]
    assert crowding(points).tolist() == [0, 0]


def test_the_input_is_left_as_it_was() -> None:
    points = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
    copy = points.copy()
    for function in (non_dominated, ranks, crowding, knee, lambda p: hypervolume(p, [4, 4])):
        function(points)
        assert np.array_equal(points, copy)
