"""From decisions to row numbers: which row of a segment's tables a design's choices mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gas.errors import SpaceError, describe
from gas.space.arrays import Rows
from gas.space.tree import Decision

DENSE = 1 << 22  # keys that are looked up in a table; more are searched for
LARGEST = 1 << 62


class Coder:
    """Finds the row of one segment for a state and choice numbers.

    Args:
        rows: The segment's rows.
        choices: Number of choices of each of its decisions.
    """

    def __init__(self, rows: Rows, choices: Sequence[int]) -> None:
        self.rows = rows
        states = len(rows.first) - 1
        # A key is a number in a mixed radix: the state, then 1 + each choice; 0 stands for no such decision.
        self._radices = [choice + 1 for choice in choices]
        self._packs: dict[int, NDArray[np.int64]] = {}
        keys, size = np.repeat(np.arange(states), np.diff(rows.first)), states
        for column, radix in enumerate(self._radices):
            if size * radix > LARGEST:  # number those that occur
                self._packs[column], keys = np.unique(keys, return_inverse=True)
                size = len(self._packs[column])
            keys, size = keys * radix + rows.codes[:, column] + 1, size * radix
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._dense: NDArray[np.int32] | None = None
        if size <= DENSE:
            self._dense = np.full(size, -1, dtype=np.int32)
            self._dense[keys] = np.arange(len(rows))

    def find(self, state: NDArray[np.integer], codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """(n,) row numbers; -1 where there is none.

        Args:
            state: (n,) states in front.
            codes: (n, decisions) choice numbers; -1 where a decision does not exist.
        """
        keys, fine = state.astype(np.int64), np.ones(len(state), dtype=bool)
        for column, radix in enumerate(self._radices):
            if column in self._packs:
                keys, known = _places(self._packs[column], keys)
                fine &= known
            code = codes[:, column]
            inside = (code >= -1) & (code < radix - 1)
            if not inside.all():
                fine &= inside
                code = np.where(inside, code, -1)
            keys = keys * radix + code + 1
        if self._dense is not None:
            found = self._dense.take(keys).astype(np.int64)
        else:
            places, known = _places(self._keys, keys)
            found = np.where(known, self._order[places], -1)
        return found if fine.all() else np.where(fine, found, -1)

    def wrong(self, state: int, codes: NDArray[np.integer]) -> tuple[int, list[int]]:
        """The first decision (its place in the segment) at which no row of a state goes on, and what the rows have."""
        mine = self.rows.codes[self.rows.first[state] : self.rows.first[state + 1]]
        for column, code in enumerate(codes):
            rest = mine[mine[:, column] == code]
            if not len(rest):
                return column, np.unique(mine[:, column]).tolist()
            mine = rest
        raise AssertionError("the codes are those of a row")


class Coders:
    """Finds the rows of whole designs.

    Args:
        layers: The segments' rows.
        decisions: All decisions of the space.
    """

    def __init__(self, layers: Sequence[Rows], decisions: Sequence[Decision]) -> None:
        self._decisions = decisions
        self._coders = [Coder(rows, [len(decisions[d].choices) for d in rows.decisions]) for rows in layers]

    def rows_of(self, codes: object) -> NDArray[np.int32]:
        """(n, segments) row numbers of the designs that choice numbers mean.

        Args:
            codes: (n, decisions) choice numbers; -1 where a decision does not exist for the design.

        Raises:
            SpaceError: A design is no member; names the first such design of the first segment that has one, and its
                first decision that departs.
        """
        numbers = whole(codes, "codes", len(self._decisions), "decision")
        result = np.empty((len(self._coders), len(numbers)), dtype=np.int32)
        state = np.zeros(len(numbers), dtype=np.int32)
        for segment, coder in enumerate(self._coders):
            mine = numbers[:, list(coder.rows.decisions)]
            found = coder.find(state, mine)
            if len(found) and found.min() < 0:
                self._refuse(coder, int(np.argmax(found < 0)), state, mine)
            result[segment] = found
            state = coder.rows.after.take(found)
        return result.T

    def _refuse(self, coder: Coder, design: int, state: NDArray, codes: NDArray) -> None:
        column, possible = coder.wrong(int(state[design]), codes[design])
        decision = self._decisions[coder.rows.decisions[column]]
        names = [f"{code} ({decision.choices[code]})" if code >= 0 else "-1 (it does not exist)" for code in possible]
        problem = describe(int(codes[design, column]), " or ".join(names))
        raise SpaceError([f"designs.codes[{design}]: {decision.path}: {problem}, after the choices before it"])


def whole(numbers: object, what: str, columns: int, column: str) -> NDArray[np.integer]:
    """(n, columns) integers, as they are; SpaceError where the shape or the kind is another."""
    array = np.asarray(numbers)
    if array.ndim != 2 or array.shape[1] != columns:
        raise SpaceError([f"designs.{what}: got shape {array.shape}; expected (n, {columns}), one {column} per column"])
    if not np.issubdtype(array.dtype, np.integer):
        raise SpaceError([f"designs.{what}: got {array.dtype}; expected integers"])
    return array


def _places(known: NDArray[np.int64], keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each key stands among sorted ones, and whether it does."""
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return places, known[places] == keys
