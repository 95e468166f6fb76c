"""Neighbouring segments written out together as far as they stay small: fewer links, fewer draws per design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gas.space.arrays import Arrays, Rows


@dataclass(frozen=True)
class Link:
    """Every way to decide a few neighbouring segments, those of the first state first.

    Args:
        first: (states + 1,) number of each state's first way; the last entry counts all ways.
        rows: (segments, ways) row numbers.
        costs: (columns, ways) the costs that are asked for.
        after: (ways,) state behind.
    """

    first: NDArray[np.int64]
    rows: NDArray[np.int32]
    costs: NDArray[np.int64]
    after: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Rows, columns: Sequence[int]) -> Link:
        """One segment."""
        numbers = np.arange(len(rows), dtype=np.int32)[None]
        return cls(rows.first, numbers, np.ascontiguousarray(rows.costs[:, list(columns)].T), rows.after)

    def then(self, other: Link) -> Link:
        """This and the one behind it."""
        many = np.diff(other.first)[self.after]
        mine = np.repeat(np.arange(len(self.after)), many)
        ends = np.cumsum(many)
        # The k-th way behind each of mine: a running number, less what it was where mine begins.
        theirs = np.arange(len(mine)) - np.repeat(ends - many - other.first[self.after], many)
        return Link(
            np.concatenate([[0], ends])[self.first],
            np.concatenate([self.rows[:, mine], other.rows[:, theirs]]),
            self.costs[:, mine] + other.costs[:, theirs],
            other.after[theirs],
        )

    def only(self, order: NDArray[np.integer]) -> Link:
        """Some of the ways, or all in another order; they stay with their states."""
        states = np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))[order]
        first = np.searchsorted(states, np.arange(len(self.first)))
        return Link(first, self.rows[:, order], self.costs[:, order], self.after[order])


def links(arrays: Arrays, columns: Sequence[int], most: int) -> list[Link]:
    """The chain in as few links as possible, each of at most `most` ways unless a single segment has more."""
    layers = arrays.layers
    best: list[tuple[int, float, tuple[int, ...]]] = [(0, 0.0, ())]  # up to each segment: links, ways, where cut
    for end in range(1, len(layers) + 1):
        ways, found = None, []
        for start in reversed(range(end)):
            ways = _ways(layers[start], ways)
            if ways.sum() <= most or start + 1 == end:
                number, total, cuts = best[start]
                found.append((number + 1, total + float(ways.sum()), (*cuts, start)))
        best.append(min(found))
    cuts = (*best[-1][2], len(layers))
    result = []
    for start, end in pairwise(cuts):
        link = Link.of(layers[start], columns)
        for rows in layers[start + 1 : end]:
            link = link.then(Link.of(rows, columns))
        result.append(link)
    return result


def _ways(rows: Rows, behind: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(states,) ways to decide a stretch that begins with these rows."""
    each = np.ones(len(rows)) if behind is None else behind[rows.after]
    return by_state(np.add, each, rows.first)


def by_state(what: np.ufunc, values: NDArray, first: NDArray[np.int64]) -> NDArray:
    """(states,) sums, or least values, over the ways of each state; 0 for a state that has none.

    Args:
        what: `np.add` or `np.minimum`.
        values: (ways,) numbers.
        first: (states + 1,) number of each state's first way.
    """
    some = first[1:] > first[:-1]
    result = np.zeros(len(some), dtype=values.dtype)
    result[some] = what.reduceat(values, first[:-1][some])
    return result
