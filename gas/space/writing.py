"""The array form of the walk: thousands of designs written at a time, each decision as near to a wish as may be.

The rows of a segment are put into a trie: from each node, one decision leads to the next nodes. Walking it asks the
decisions in the same order as `SearchSpace.realise` and bars the same ways, those with no completion within the bounds:
per node, the least that each bounded sum can still come to is known.

Shapes: N designs, D decisions, M bounds, K choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gas.space.arrays import Arrays
from gas.space.budgets import Budgets
from gas.space.codes import whole
from gas.space.designs import Designs
from gas.space.tree import Decision

CHUNK = 1 << 14  # designs at a time, so that everything stays in the cache

Wish = Callable[[int, slice, NDArray], NDArray]
"""`wish(decision, which, before)`: (n,) numbers of choices for a decision of the designs `which`, given the (n,)
numbers chosen at the decision before it: -1 where that does not exist, and at the first."""


@dataclass(frozen=True)
class Fork:
    """One decision of a segment, in every place where it is met.

    Args:
        decision: Its number in the space.
        ordered: Whether its choices have an order.
        after: (nodes, K) the node that each choice leads to; -1 where it is no choice there. Where the decision does
            not exist, all of them lead on alike.
        exists: (nodes,) whether the decision exists there.
        least: (nodes behind, M) the least that each bounded sum still comes to from there on, this segment included.
    """

    decision: int
    ordered: bool
    after: NDArray[np.int32]
    exists: NDArray[np.bool_]
    least: NDArray[np.float64]


class Writer:
    """Writes designs of a space.

    Args:
        arrays: The array form of the space.
        decisions: Its decisions.
        budgets: The bounds to keep to; None for none.
    """

    def __init__(self, arrays: Arrays, decisions: Sequence[Decision], budgets: Budgets | None) -> None:
        self.arrays = arrays
        self._choices = [len(decision.choices) for decision in decisions]
        self._limits = np.zeros(0) if budgets is None else budgets.limits * (1 + np.sign(budgets.limits) * 1e-12)
        self._segments: list[tuple[list[Fork], NDArray[np.int64], NDArray[np.float64]]] = []
        for number, rows in enumerate(arrays.layers):
            sums = np.zeros((len(rows), len(self._limits)))
            rest = sums
            if len(self._limits):
                sums = np.concatenate(budgets.costs[number]) @ budgets.weights.T  # (rows, M)
                # Bound by bound, so a little less than what one completion comes to in all of them.
                rest = sums + budgets.rest[number + 1].min(axis=1)[rows.after]
            self._segments.append((*_forks(rows, decisions, rest), sums))

    def write(
        self, wishes: NDArray[np.integer] | Wish, rng: np.random.Generator, count: int | None = None
    ) -> tuple[Designs, NDArray[np.bool_]]:
        """Designs as near to what is wished as the space and its bounds allow.

        A choice that cannot be is replaced by the nearest in order that can; where the choices have no order, by any.

        Args:
            wishes: (N, D) numbers of choices, in which what is said of a decision that does not exist is not read; or
                a `Wish`, asked decision by decision for what is then taken as far as it can be.
            rng: Decides between choices that are equally near.
            count: N, where a Wish is given.

        Returns:
            The designs, and (N,) True for those within every bound. Two bounds together may close a way that neither
            closes alone, so now and then a design ends outside.
        """
        wish = wishes
        if not callable(wishes):
            numbers = whole(wishes, "wishes", len(self._choices), "decision")
            columns, count = np.asfortranarray(np.maximum(numbers, 0)), len(numbers)
            wish = lambda decision, which, before: columns[which, decision]  # noqa: E731
        rows = np.empty((len(self._segments), count), dtype=np.int32)
        inside = np.empty(count, dtype=bool)
        for first in range(0, count, CHUNK):
            part = slice(first, min(first + CHUNK, count))
            inside[part] = self._write(wish, part, rows[:, part], rng)
        return Designs(self.arrays, rows.T), inside

    def _write(self, wish: Wish, part: slice, rows: NDArray, rng: np.random.Generator) -> NDArray[np.bool_]:
        count = part.stop - part.start
        node, before = np.zeros(count, dtype=np.int64), np.full(count, -1, dtype=np.int64)
        spent = [np.zeros(count) for _ in self._limits]
        for number, (forks, leaves, sums) in enumerate(self._segments):
            for fork in forks:
                node, before = self._choose(fork, node, wish(fork.decision, part, before), spent, rng)
            rows[number] = leaves.take(node)
            for bound, column in enumerate(sums.T):
                spent[bound] = spent[bound] + column.take(rows[number])
            node = self.arrays.layers[number].after.take(rows[number]).astype(np.int64)
        inside = np.ones(count, dtype=bool)
        for total, limit in zip(spent, self._limits, strict=True):
            inside &= total <= limit
        return inside

    def _choose(
        self, fork: Fork, node: NDArray, wish: NDArray, spent: list[NDArray], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The nodes behind a decision, and what was chosen; -1 where it does not exist."""
        choices = fork.after.shape[1]
        taken = np.minimum(wish, choices - 1).astype(np.int64)
        behind = fork.after.ravel().take(node * choices + taken).astype(np.int64)
        fits = behind >= 0
        for total, limit, column in zip(spent, self._limits, fork.least.T, strict=True):
            fits &= total + column.take(behind) <= limit
        barred = np.flatnonzero(~fits)
        if len(barred):
            ways = fork.after[node[barred]]  # (barred, K)
            possible = ways >= 0
            within = possible.copy()
            for total, limit, column in zip(spent, self._limits, fork.least.T, strict=True):
                within &= total[barred, None] + column[ways] <= limit
            # Where the bounds leave nothing, whatever the space leaves.
            within = np.where(within.any(axis=1)[:, None], within, possible)
            far = np.abs(np.arange(choices) - taken[barred, None]) if fork.ordered else np.zeros((1, choices))
            far = np.where(within, far + 0.5 * rng.random(ways.shape), np.inf)
            nearest = far.argmin(axis=1)
            taken[barred] = nearest
            behind[barred] = ways[np.arange(len(barred)), nearest]
        return behind, np.where(fork.exists.take(node), taken, -1)


def _forks(rows: object, decisions: Sequence[Decision], rest: NDArray) -> tuple[list[Fork], NDArray[np.int64]]:
    """The trie of a segment: its forks in walk order, and the row of each leaf."""
    node = rows.state.astype(np.int64)
    forks = []
    for column, decision in enumerate(rows.decisions):
        codes, choices = rows.codes[:, column].astype(np.int64), len(decisions[decision].choices)
        behind_keys, behind = np.unique(node * (choices + 1) + codes + 1, return_inverse=True)
        after = np.full((int(node.max()) + 1, choices), -1, dtype=np.int32)
        before, code = np.divmod(behind_keys, choices + 1)
        absent = code == 0
        after[before[~absent], code[~absent] - 1] = np.flatnonzero(~absent)
        after[before[absent]] = np.flatnonzero(absent)[:, None]
        least = np.full((len(behind_keys), rest.shape[1]), np.inf)
        np.minimum.at(least, behind, rest)
        if (codes >= 0).any():
            exists = np.zeros(len(after), dtype=bool)
            exists[before[~absent]] = True
            forks.append(Fork(decision, decisions[decision].ordered, after, exists, least))
            node = behind
    leaves = np.empty(int(node.max()) + 1, dtype=np.int64)
    leaves[node] = np.arange(len(rows))
    return forks, leaves
