"""The array form of a space: designs as integers, thousands at a time, with the costs that the walk gives them.

A design is one row number per segment: the tables of all states of a segment stand end to end, so a row number says
both what is decided there and in which state. Whatever is a sum over segments (macs, params, predicted latency, counts
of features) is then a few look-ups per design, for the whole array at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gas.architecture import Group, Spec
from gas.patterns.base import Flow, pattern_of
from gas.plan import place, start
from gas.space.segments import Segment
from gas.space.tables import COSTS, Chain, Layer

if TYPE_CHECKING:
    from gas.space.features import FeatureTable

Price = Callable[[Spec, Flow], float]
"""What a part costs where a flow comes in."""


CHUNK = 1 << 14  # designs at a time, so that their sums stay in the cache


@dataclass(frozen=True)
class Rows:
    """All rows of one segment, those of its first state first.

    Args:
        segment: The segment.
        decisions: Numbers of the decisions that stand in it, in walk order.
        first: (states + 1,) number of each state's first row; the last entry counts all rows.
        values: What each row sets (see `Table.values`).
        codes: (rows, decisions of the segment) choice numbers; -1 where a decision does not exist.
        costs: (rows, 2) macs and params.
        after: (rows,) number of the state behind it.
        flows: The flow that comes in, per state.
    """

    segment: Segment
    decisions: tuple[int, ...]
    first: NDArray[np.int64]
    values: list[Any]
    codes: NDArray[np.int16]
    costs: NDArray[np.int64]
    after: NDArray[np.int32]
    flows: tuple[Flow, ...]

    @classmethod
    def of(cls, layer: Layer) -> Rows:
        """The tables of a layer, end to end."""
        tables = layer.tables
        return cls(
            layer.segment,
            layer.decisions,
            np.cumsum([0, *(len(table.values) for table in tables)]),
            [value for table in tables for value in table.values],
            np.concatenate([table.codes for table in tables]),
            np.concatenate([table.costs for table in tables]),
            np.concatenate([table.after for table in tables]).astype(np.int32),
            tuple(flow for flow, _ in layer.states),
        )

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def state(self) -> NDArray[np.int32]:
        """(rows,) number of the state in front of each."""
        return np.repeat(np.arange(len(self.first) - 1, dtype=np.int32), np.diff(self.first))

    def parts(self) -> Iterator[list[tuple[Spec, Flow, int]]]:
        """Per row: its parts as (pattern, flow that comes in, how often in a row)."""
        for state, flow in enumerate(self.flows):
            for row in range(self.first[state], self.first[state + 1]):
                yield list(_parts(self.segment.kind, self.values[row], flow))


class Arrays:
    """The array form of a space.

    Args:
        chain: The space's tables.

    Attributes:
        layers: One per segment.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.layers = tuple(Rows.of(layer) for layer in chain.layers)

    @cached_property
    def costs(self) -> dict[str, list[NDArray[np.int64]]]:
        """Macs and params by name: per layer, a number per row."""
        return {
            name: [np.ascontiguousarray(rows.costs[:, column]) for rows in self.layers]
            for column, name in enumerate(COSTS)
        }

    @cached_property
    def features(self) -> FeatureTable:
        """The features of every row."""
        from gas.space.features import FeatureTable

        return FeatureTable(self)

    def price(self, price: Price) -> list[NDArray[np.float64]]:
        """Per layer: (rows,) what the parts of each row cost together; `price` is asked once per part and flow."""
        known: dict[tuple[Spec, Flow], float] = {}

        def of(spec: Spec, flow: Flow) -> float:
            if (spec, flow) not in known:
                known[spec, flow] = price(spec, flow)
            return known[spec, flow]

        return [
            np.array(
                [sum(times * of(spec, flow) for spec, flow, times in parts) for parts in rows.parts()], dtype=float
            )
            for rows in self.layers
        ]

    def every(self) -> NDArray[np.int32]:
        """(designs, layers) row numbers of all designs of the space: for small ones."""
        found, states = np.zeros((1, 0), dtype=np.int32), np.zeros(1, dtype=np.int64)
        for layer in self.layers:
            count = np.diff(layer.first)[states]
            before = np.repeat(np.arange(len(found)), count)
            # Counts up within each design's own table: 0, 1, ..., 0, 1, ...
            within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            rows = (layer.first[states][before] + within).astype(np.int32)
            found = np.column_stack([found[before], rows])
            states = layer.after[rows].astype(np.int64)
        return found

    def total(self, rows: NDArray[np.integer], columns: Sequence[NDArray]) -> NDArray:
        """(n,) sums over the segments of designs.

        Args:
            rows: (n, layers) row numbers.
            columns: Per layer, a number per row.
        """
        result = np.empty(len(rows), dtype=np.result_type(*columns))
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            total = columns[0].take(some[:, 0])
            for layer in range(1, len(columns)):
                total = total + columns[layer].take(some[:, layer])
            result[first : first + CHUNK] = total
        return result


def _parts(kind: str, value: Any, flow: Flow) -> Iterator[tuple[Spec, Flow, int]]:
    """The parts of a segment that is decided as `value`: those with modules, as `gas.plan` places them."""
    if kind == "stem":
        resolution, channels, stem = value
        yield stem, start(resolution, channels), 1
    elif kind == "enter":
        entry, dim = value
        if entry is not None and not pattern_of(entry).fused:
            yield entry, flow.but(target=dim, fresh=True), 1
    elif kind == "head":
        yield value, flow, 1
    else:
        group: Group = value
        left = group.depth
        while left:
            after = place(group.block, flow)[2]
            times = left if after == flow else 1  # from here on all blocks are alike
            yield group.block, flow, times
            flow, left = after, left - times
