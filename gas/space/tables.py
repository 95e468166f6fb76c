"""All designs of a space as a chain of tables: exact counts, exact costs, and what can still be completed.

A design is cut into segments (stem; how a stage is entered; each block group; head). What a segment may do depends
only on the *state* before it: the features that flow in and the few earlier values that ties, derived values and
rules still refer to. So each segment has one table per state, a row for every way to decide it, with its costs and
the state behind it. Counting designs, drawing them uniformly and knowing the least cost of whatever is still
undecided are then dynamic programmes over the chain (macs and params are sums over blocks), exact for any pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.patterns.base import Flow, within
from gas.plan import enter, leave, place, start
from gas.space.expressions import Expression, ExpressionError
from gas.space.segments import Segment, decisions_in, live_paths, rules_by_segment, segments
from gas.space.tree import Known, Tree, Values, unfold

MAX_ROWS = 20_000_000
MAX_POINTS = 256  # kept per state when bounds conflict; fewer points can only refuse designs, never admit one
COSTS = ("macs", "params")


class TooLargeError(Exception):
    """Rules or ties link so many decisions that the tables do not fit; holds the path where that shows."""


@dataclass
class Table:
    """Every way to decide one segment in one state; row i of each array belongs together.

    Args:
        values: What each row sets (resolution, channels, stem | entry, dim | Group | head).
        codes: (rows, decisions of the segment) choice numbers; -1 where a decision does not exist.
        costs: (rows, 2) macs and params.
        after: (rows,) number of the state behind it.
        built: Rows before dead ends were removed.
    """

    values: list[Any]
    codes: NDArray[np.int16]
    costs: NDArray[np.int64]
    after: NDArray[np.int64]
    built: int = 0


@dataclass
class Layer:
    """A segment with its states and tables.

    Args:
        segment: The segment.
        decisions: Numbers of the decisions that stand in it, in walk order.
        states: (Flow, known values) by state number, before the segment.
        tables: One per state.
    """

    segment: Segment
    decisions: tuple[int, ...]
    states: list[tuple[Flow, tuple]]
    tables: list[Table] = field(default_factory=list)
    ways: list[int] = field(default_factory=list)  # designs that complete each state


class Chain:
    """The tables of a whole space.

    Args:
        tree: The typed space.

    Attributes:
        layers: One per segment, dead ends removed.
        reasons: Why combinations turned out impossible, first come first.
        size: Exact number of designs.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.reasons: list[DesignError] = []
        self._noted: dict[tuple[str, str], int] = {}
        self._held: set[str] = set()
        self._broken: dict[str, int] = {}
        self._ways: dict[str, list] = {}
        self.layers: list[Layer] = []
        self._build()
        self._drop_dead_ends()
        self.size: int = self.layers[0].ways[0] if self.layers[0].ways else 0

    def architecture(self, values: list[Any]) -> Architecture:
        """The design that one value per segment means."""
        resolution, channels, stem = values[0]
        stages, entry, dim, groups = [], None, 0, []
        for layer, value in zip(self.layers[1:-1], values[1:-1], strict=True):
            if layer.segment.kind == "enter":
                (entry, dim), groups = value, []
                continue
            groups.append(value)
            if layer.segment.last:
                stages.append(Stage(dim, tuple(groups), entry))
        return Architecture(stem, tuple(stages), values[-1], resolution, channels)

    def unused(self) -> list[tuple[int, int]]:
        """(decision, choice) pairs that no design uses."""
        used = [np.zeros(len(d.choices), dtype=bool) for d in self.tree.decisions]
        for layer in self.layers:
            for table in layer.tables:
                for column, decision in enumerate(layer.decisions):
                    codes = np.unique(table.codes[:, column])
                    used[decision][codes[codes >= 0]] = True
        return [(d, int(c)) for d, mask in enumerate(used) for c in np.flatnonzero(~mask)]

    def impossible(self) -> DesignError:
        """Why there is no design: the commonest reason in the first segment that nothing gets through."""
        for layer in self.layers:
            path = layer.segment.path
            if any(table.built for table in layer.tables):
                continue
            for index, rule in enumerate(self.tree.rules):
                if self._broken.get(rule.text, 0) and rule.text not in self._held:
                    return DesignError(f"rules[{index}]", f"no design satisfies {rule.text!r}")
            here = [r for r in self.reasons if r.where == path or r.where.startswith((f"{path}.", f"{path}["))]
            return max(here or [DesignError(path, "the rules leave nothing")], key=self._count)
        return DesignError("rules", "no design satisfies all of them")

    def _count(self, reason: DesignError) -> int:
        return self._noted.get((reason.where, reason.problem), 0)

    @cached_property
    def cost_range(self) -> dict[str, tuple[int, int]]:
        """Least and greatest macs and params over all designs."""
        result = {}
        for column, name in enumerate(COSTS):
            ends = []
            for sign in (1, -1):
                points = cheapest(self, np.eye(2)[[column]] * sign)
                ends.append(int(sign * points[0][0][0, 0]))
            result[name] = (ends[0], ends[1])
        return result

    def _build(self) -> None:
        chain = segments(self.tree)
        homes = [decisions_in(s.nodes) for s in chain]
        keep = live_paths(self.tree, chain)
        rules = rules_by_segment(self.tree, chain)
        states: dict[tuple[Flow, tuple], int] = {(Flow(0, (0, 0)), ()): 0}
        rows = 0
        for number, segment in enumerate(chain):
            layer = Layer(segment, homes[number], list(states))
            following: dict[tuple[Flow, tuple], int] = {}
            for flow, known in layer.states:
                table = self._table(layer, flow, dict(known), rules[number], keep[number], following)
                layer.tables.append(table)
                rows += len(table.values)
                if rows > MAX_ROWS:
                    raise TooLargeError(segment.path)
            self.layers.append(layer)
            states = following

    def _table(
        self, layer: Layer, flow: Flow, known: Known, rules: list[Expression], keep: list[str], following: dict
    ) -> Table:
        values, codes, costs, after = [], [], [], []
        column = {decision: i for i, decision in enumerate(layer.decisions)}
        for value, chosen, cost, out, then in self._rows(layer.segment, flow, known):
            if not all(self._holds(rule, then) for rule in rules):
                continue
            state = (out, tuple((p, then[p]) for p in keep if p in then) if keep else ())
            row = [-1] * len(column)
            for decision, choice in chosen:
                row[column[decision]] = choice
            values.append(value)
            codes.append(row)
            costs.append(cost)
            after.append(following.setdefault(state, len(following)))
        return Table(
            values,
            np.array(codes, dtype=np.int16).reshape(len(values), len(column)),
            np.array(costs, dtype=np.int64).reshape(len(values), 2),
            np.array(after, dtype=np.int64),
            len(values),
        )

    def _rows(self, segment: Segment, flow: Flow, known: Known) -> Iterator[tuple]:
        """(value, codes, (macs, params), flow behind, known behind) for every way to decide the segment."""
        blocks: dict = {}
        for values, codes, then in self._unfolded(segment, known):
            try:
                if segment.kind == "stem":
                    cost, _, out = place(values[2], start(values[0], values[1]))
                    yield values, codes, (cost.macs, cost.params), out, then
                elif segment.kind == "enter":
                    yield values, codes, (0, 0), enter(*values, flow), then
                elif segment.kind == "group":
                    cost, out = _group(values[0], flow, blocks)
                    out = leave(flow.target, out) if segment.last else out
                    yield values[0], codes, cost, out, then
                else:
                    cost, _, out = place(values[0], flow)
                    yield values[0], codes, (cost.macs, cost.params), Flow(0, (0, 0)), then
            except DesignError as error:
                self._note(within(segment.path, error))

    def _unfolded(self, segment: Segment, known: Known) -> Iterator[tuple]:
        """Every way to decide the segment's nodes; worked out once where nothing in them refers to known values."""
        if segment.refers:
            yield from _unfold_all(segment.nodes, known, self.tree.needed, self.reasons)
            return
        if segment.path not in self._ways:
            self._ways[segment.path] = list(_unfold_all(segment.nodes, {}, self.tree.needed, self.reasons))
        for values, codes, learned in self._ways[segment.path]:
            yield values, codes, ({**known, **learned} if learned else known)

    def _note(self, reason: DesignError) -> None:
        key = (reason.where, reason.problem)
        if key not in self._noted:
            self.reasons.append(reason)
        self._noted[key] = self._noted.get(key, 0) + 1

    def _holds(self, rule: Expression, known: Known) -> bool:
        try:
            holds = bool(rule(Values(known)))
        except KeyError:
            return True  # it speaks of a branch that this design does not have
        except ExpressionError as error:
            self._note(DesignError("rules", str(error)))
            return False
        if holds:
            self._held.add(rule.text)
        else:
            self._broken[rule.text] = self._broken.get(rule.text, 0) + 1
        return holds

    def _drop_dead_ends(self) -> None:
        """Removes rows that no design can complete, and counts the completions of every state."""
        ways = None
        for layer in reversed(self.layers):
            layer.ways = []
            for table in layer.tables:
                if ways is not None:
                    alive = np.array([ways[s] > 0 for s in table.after], dtype=bool)
                    if not alive.all():
                        rows = np.flatnonzero(alive)
                        table.values = [table.values[i] for i in rows]
                        table.codes, table.costs, table.after = table.codes[rows], table.costs[rows], table.after[rows]
                    states, counts = np.unique(table.after, return_counts=True)
                    layer.ways.append(sum(int(n) * ways[s] for s, n in zip(states, counts, strict=True)))
                else:
                    layer.ways.append(len(table.values))
            ways = layer.ways


def cheapest(chain: Chain, weights: NDArray) -> list[list[NDArray]]:
    """For every state, the Pareto-least ways to complete it.

    Args:
        chain: The tables.
        weights: (m, 2): each row makes one quantity to keep small out of (macs, params): a bound from above is a
            unit row, a bound from below its negative.

    Returns:
        Per layer and state, (points, m): no completion lies below all of them, so a design can still be completed
        within limits if and only if some point does.
    """
    behind: list[NDArray] = [np.zeros((1, len(weights)))]
    result: list[list[NDArray]] = [behind]
    for layer in reversed(chain.layers):
        here = []
        for table in layer.tables:
            costs = table.costs @ weights.T
            groups = [np.empty((0, len(weights)))]
            for state in np.unique(table.after):
                least = _least(costs[table.after == state])
                groups.append((least[:, None] + behind[state][None]).reshape(-1, len(weights)))
            here.append(_least(np.concatenate(groups)))
        result.append(here)
        behind = here
    return result[::-1]


def _least(points: NDArray) -> NDArray:
    """The rows that no other row is below in every column; duplicates once."""
    if len(points) <= 1:
        return points
    if points.shape[1] == 1:
        return points.min(axis=0, keepdims=True)
    points = np.unique(points, axis=0)
    if points.shape[1] == 2:  # sorted by the first column: keep where the second falls below all before
        best = np.minimum.accumulate(points[:, 1])
        points = points[np.r_[True, points[1:, 1] < best[:-1]]]
    else:
        from gas.pareto import non_dominated

        points = points[non_dominated(points)]
    step = -(-len(points) // MAX_POINTS)
    return points[::step]


def _unfold_all(nodes: tuple, known: Known, needed: frozenset[str], reasons: list) -> Iterator[tuple]:
    if not nodes:
        yield (), (), known
        return
    first, *rest = nodes
    ways = [(None, (), known)] if first is None else unfold(first, known, needed, reasons)
    for value, codes, then in ways:
        for values, more, last in _unfold_all(tuple(rest), then, needed, reasons):
            yield (value, *values), codes + more, last


def _group(group: Group, flow: Flow, blocks: dict) -> tuple[tuple[int, int], Flow]:
    """Cost of a block group and the flow behind it: the first block, and the others, which are alike.

    `blocks` remembers what one block does in this flow; by identity, because the ways of a segment share their blocks.
    """
    if group.depth == 0:
        return (0, 0), flow
    key = id(group.block)
    if key not in blocks:
        blocks[key] = group, _placed(group.block, flow)
    first, out = _or_raise(blocks[key][1])
    if group.depth == 1:
        return first, out
    if (key, "rest") not in blocks:
        blocks[key, "rest"] = _placed(group.block, out)
    rest, _ = _or_raise(blocks[key, "rest"])
    more = group.depth - 1
    return (first[0] + more * rest[0], first[1] + more * rest[1]), out


def _placed(block: Spec, flow: Flow) -> tuple[tuple[int, int], Flow] | DesignError:
    try:
        cost, _, out = place(block, flow)
    except DesignError as error:
        return error
    return (cost.macs, cost.params), out


def _or_raise(found: tuple | DesignError) -> tuple:
    if isinstance(found, DesignError):
        raise found
    return found
