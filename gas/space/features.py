"""Numbers that describe designs, as sums over their blocks: what a surrogate model is given.

Nothing here knows a pattern: what counts is what a Spec says. Per stage, and for the stem and the head:
    dim, depth, tokens            width, number of blocks, tokens of the stage's last features
    PATTERN                       how many of its blocks (entries, mixers) are of this pattern
    PATTERN.OPTION                the sum of a numeric option over those, its default where the design says nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gas.architecture import Group, Spec
from gas.patterns.base import options_of
from gas.space.arrays import Arrays


class Features(NamedTuple):
    """Features of designs.

    Args:
        names: (f,) what each column is.
        values: (n, f) the numbers.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]


class FeatureTable:
    """The features of every row; those in which no two designs can differ are left out.

    Args:
        arrays: The array form of a space.
    """

    def __init__(self, arrays: Arrays) -> None:
        layers = [list(_features(arrays, number)) for number in range(len(arrays.layers))]
        self.names: tuple[str, ...] = ()
        self._columns: list[list[NDArray[np.float64]]] = []
        for name in dict.fromkeys(name for rows in layers for row in rows for name in row):
            column = [np.array([row.get(name, 0.0) for row in rows]) for rows in layers]
            if any(len(each) and np.ptp(each) for each in column):
                self.names += (name,)
                self._columns.append(column)

    def of(self, rows: NDArray[np.integer]) -> Features:
        """The features of designs, (n, segments) row numbers."""
        values = np.zeros((len(rows), len(self.names)))
        for number, column in enumerate(self._columns):
            for segment, each in enumerate(column):
                if each.any():
                    values[:, number] += each.take(rows[:, segment])
        return Features(self.names, values)


def _features(arrays: Arrays, number: int) -> Iterator[dict[str, float]]:
    """What each row of a segment adds."""
    rows = arrays.layers[number]
    kind, stage = rows.segment.kind, rows.segment.stage
    where = f"stages[{stage}]" if stage >= 0 else kind
    behind = arrays.layers[number + 1].flows if rows.segment.last else ()
    for row, value in enumerate(rows.values):
        found: dict[str, float] = {}
        if kind == "stem":
            found["input.resolution"], found["input.channels"] = value[0], value[1]
            _add(found, where, value[2], 1)
        elif kind == "enter":
            found[f"{where}.dim"] = value[1]
            if value[0] is not None:
                _add(found, where, value[0], 1)
        elif kind == "head":
            _add(found, where, value, 1)
        else:
            _group(found, where, value)
        if behind:
            found[f"{where}.tokens"] = behind[rows.after[row]].tokens
        yield found


def _group(found: dict[str, float], where: str, group: Group) -> None:
    if group.depth:
        found[f"{where}.depth"] = group.depth
        _add(found, where, group.block, group.depth)


def _add(found: dict[str, float], where: str, spec: Spec, times: int) -> None:
    for name, number in _numbers(spec):
        found[f"{where}.{name}"] = found.get(f"{where}.{name}", 0.0) + times * number


@lru_cache(maxsize=100_000)
def _numbers(spec: Spec) -> tuple[tuple[str, float], ...]:
    """What a Spec and those inside it say in numbers; one name may come more than once."""
    found: list[tuple[str, float]] = [(spec.pattern, 1.0)]
    for name, value in options_of(spec):
        if isinstance(value, Spec):
            found += _numbers(value)
        elif isinstance(value, bool | int | float):
            found.append((f"{spec.pattern}.{name}", float(value)))
    return tuple(found)
