from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gas.errors import SettingError
from gas.ladder import Ladder, best
from gas.pareto import ranks

LOSSES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20)


def climbed(ladder: Ladder, rung: int, losses: list[float]) -> list[bool]:
    """Whether each of some candidates goes on, judged as it comes in, by one objective."""
    decided = []
    for number, loss in enumerate(losses):
        ladder.record(rung, number, {"score": -loss}, (loss,))
        decided.append(ladder.goes_on(rung, (loss,)))
    return decided


def test_with_one_objective_who_goes_on_is_among_the_best_so_far() -> None:
    losses = [5.0, 4.0, 6.0, 3.0, 3.5, 1.0, 2.0, 9.0]
    decided = climbed(Ladder(3, 3), 0, losses)
    # By the definition: not more than a third (rounded up) of those so far, itself included, are better or equal.
    expected = [sum(o <= loss for o in losses[: i + 1]) <= math.ceil((i + 1) / 3) for i, loss in enumerate(losses)]
    assert decided == expected
    assert decided == [True, True, False, True, True, True, True, False]


def test_a_third_goes_on_in_the_long_run() -> None:
    losses = np.random.default_rng(0).random(1_500).tolist()
    decided = climbed(Ladder(2, 3), 0, losses)
    assert sum(decided[300:]) / len(decided[300:]) == pytest.approx(1 / 3, abs=0.05)


def test_rungs_are_judged_apart_and_nobody_goes_on_from_the_last() -> None:
    ladder = Ladder(3, 2)
    assert climbed(ladder, 0, [1.0, 0.5, 0.2]) == [True, True, True]
    assert climbed(ladder, 1, [7.0]) == [True]
    assert climbed(ladder, 2, [0.0]) == [False]


def test_an_objective_that_is_not_known_ends_the_climb() -> None:
    ladder = Ladder(2, 2)
    ladder.record(0, 0, {}, (math.nan, 1.0))
    assert not ladder.goes_on(0, (math.nan, 1.0))
    ladder.record(0, 1, {}, (2.0, 1.0))  # and stands in nobody's way
    assert ladder.goes_on(0, (2.0, 1.0))


@given(LOSSES, st.integers(0, 20))
def test_the_best_are_taken_front_by_front(losses: list[tuple[int, int]], count: int) -> None:
    points = np.array(losses, dtype=float)
    chosen = best(points, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(points))
    if chosen and len(chosen) < len(points):
        front = ranks(points)
        left = sorted(set(range(len(points))) - set(chosen))
        assert max(front[chosen]) <= min(front[left])


def test_of_a_front_too_large_its_best_and_what_lies_far_apart_are_taken() -> None:
    points = np.array([[0.0, 1.0], [0.1, 0.9], [0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    assert best(points, 1) == [0]  # the best in the first objective
    assert best(points, 2) == [0, 3]
    assert best(points, 3) == [0, 3, 4]


def test_what_would_have_come_of_it_is_what_it_has_and_what_the_others_gained() -> None:
    ladder = Ladder(3, 3)
    assert ladder.predicted(0, {"score": 0.4}) == {"score_predicted": 0.4}  # nobody has come to the top yet
    for number, (first, second, last) in enumerate([(0.5, 0.6, 0.9), (0.4, 0.6, 0.5), (0.3, 0.5, 0.8)]):
        ladder.record(0, number, {"score": first, "loss": 1.0}, (-first,))
        ladder.record(1, number, {"score": second, "loss": 1.0}, (-second,))
        ladder.record(2, number, {"score": last, "macs": 7.0}, (-last,))
    found = ladder.predicted(0, {"score": 0.4, "loss": 2.0})
    assert found == {"score_predicted": pytest.approx(0.8), "loss_predicted": 2.0}  # gains 0.4, 0.1, 0.5
    assert ladder.predicted(1, {"score": 0.4}) == {"score_predicted": pytest.approx(0.7)}  # gains 0.3, -0.1, 0.3


@pytest.mark.parametrize("eta", [1, 0.5, math.inf, math.nan, "3", True])
def test_an_impossible_eta_is_said(eta: object) -> None:
    with pytest.raises(SettingError, match=r"eta: got .*; expected a number above 1"):
        Ladder(2, eta)
