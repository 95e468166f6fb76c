"""Recall and regret against every way in which ties could be broken."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gas.evidence.picks import recall, regret


def orders(score: list[int]) -> list[tuple[int, ...]]:
    """Every order of designs in which none stands before a better one."""
    found = itertools.permutations(range(len(score)))
    return [o for o in found if all(score[a] >= score[b] for a, b in itertools.pairwise(o))]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=2, max_size=5), st.integers(1, 4))
def test_ties_count_as_the_mean_over_all_ways_to_break_them(rows: list[tuple[int, int]], picks: int) -> None:
    score, truth = ([row[i] for row in rows] for i in (0, 1))
    regrets = [max(truth) - max(truth[i] for i in order[:picks]) for order in orders(score)]
    assert regret(score, truth, picks) == pytest.approx(np.mean(regrets))
    count = math.ceil(0.5 * len(rows))
    found = [len(set(mine[:count]) & set(theirs[:count])) / count for mine in orders(score) for theirs in orders(truth)]
    assert recall(score, truth, 0.5) == pytest.approx(np.mean(found))


def test_of_a_score_that_is_right_or_wrong_throughout() -> None:
    truth = np.arange(20.0)
    assert (recall(truth, truth), regret(truth, truth), regret(truth, truth, 5)) == (1.0, 0.0, 0.0)
    assert (recall(-truth, truth), regret(-truth, truth), regret(-truth, truth, 5)) == (0.0, 19.0, 15.0)


def test_a_design_without_a_score_is_never_picked_and_may_be_missed() -> None:
    truth = np.array([1.0, 2.0, 5.0])
    score = np.array([1.0, 2.0, np.nan])
    assert regret(score, truth) == 3.0
    assert recall(score, truth) == 1.0  # among those that have one
    assert regret(score, truth, 9) == 3.0
    none = np.full(3, np.nan)
    assert math.isnan(regret(none, truth))
    assert math.isnan(recall(none, truth))
