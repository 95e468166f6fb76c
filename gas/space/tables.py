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
from gas.patterns.base import Flow
from gas.space.expressions import Expression, ExpressionError
from gas.space.reasons import Reasons
from gas.space.segments import Segment, decisions_in, live_paths, rules_by_segment, segments
from gas.space.steps import Steps
from gas.space.tree import Known, Tree, Values, unfold

MAX_ROWS = 1_000_000
MAX_POINTS = 1_024  # kept per state when bounds conflict; fewer points can only refuse designs, never admit one
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


@dataclass(frozen=True)
class Ways:
    """Every way to decide the nodes of a segment, whatever flows in.

    Args:
        values: What each sets.
        codes: (ways, decisions of the segment) choice numbers; -1 where a decision does not exist.
        learned: What is known behind each.
    """

    values: list[Any]
    codes: NDArray[np.int16]
    learned: list[Known]


class Chain:
    """The tables of a whole space.

    Args:
        tree: The typed space.

    Attributes:
        layers: One per segment, dead ends removed.
        reasons: Why combinations turned out impossible.
        doubled: (decision, choice) pairs of ways that made the same design as another way.
        size: Exact number of designs.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.reasons = Reasons()
        self.doubled: set[tuple[int, int]] = set()
        self._rows = 0
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
        """Why there is no design: what stands in the way in the first segment that nothing gets through."""
        for layer in self.layers:
            if not any(table.built for table in layer.tables):
                return self.reasons.of_segment(layer.segment.path, self.tree.rules)
        return DesignError("rules", "no design satisfies all of them")

    @cached_property
    def cost_range(self) -> dict[str, tuple[int, int]]:
        """Least and greatest macs and params over all designs."""
        result = {}
        for column, name in enumerate(COSTS):
            ends = []
            for sign in (1, -1):
                points, _ = cheapest(self, np.eye(2)[[column]] * sign)
                ends.append(int(sign * points[0][0][0, 0]))
            result[name] = (ends[0], ends[1])
        return result

    def _build(self) -> None:
        chain = segments(self.tree)
        keep = live_paths(self.tree, chain)
        rules = rules_by_segment(self.tree, chain)
        states: dict[tuple[Flow, tuple], int] = {(Flow(0, (0, 0)), ()): 0}
        for number, segment in enumerate(chain):
            layer = Layer(segment, decisions_in(segment.nodes), list(states))
            states = {}
            ways = None
            for flow, known in layer.states:
                # Where nothing in a segment refers to what was decided before, its ways are always the same.
                ways = self._ways(layer, dict(known)) if segment.refers or ways is None else ways
                layer.tables.append(self._table(layer, flow, dict(known), ways, rules[number], keep[number], states))
            self.layers.append(layer)

    def _ways(self, layer: Layer, known: Known) -> Ways:
        """Every way to decide the nodes of a segment. What makes the same design as a way before it is left out."""
        known = known if layer.segment.refers else {}
        column = {decision: i for i, decision in enumerate(layer.decisions)}
        impossible: list[DesignError] = []
        found: dict[Any, tuple[list[int], Known]] = {}
        alone = len(layer.segment.nodes) == 1
        blocks: dict[Spec, Spec] = {}
        for values, chosen, then in _unfold_all(layer.segment.nodes, known, self.tree.needed, impossible):
            value = values[0] if alone else values
            if isinstance(value, Group):  # equal blocks become one object: Steps places each object once
                value = Group(blocks.setdefault(value.block, value.block), value.depth)
            if value in found:
                self.doubled.update(chosen)
                continue
            row = [-1] * len(column)
            for decision, choice in chosen:
                row[column[decision]] = choice
            found[value] = row, then
            if self._rows + len(found) > MAX_ROWS:
                raise TooLargeError(layer.segment.path)
        for reason in impossible:
            self.reasons.note(layer.segment.path, reason)
        codes = np.array([row for row, _ in found.values()], dtype=np.int16).reshape(len(found), len(column))
        return Ways(list(found), codes, [then for _, then in found.values()])

    def _table(
        self,
        layer: Layer,
        flow: Flow,
        known: Known,
        ways: Ways,
        rules: list[Expression],
        keep: list[str],
        following: dict[tuple[Flow, tuple], int],
    ) -> Table:
        step = Steps(layer.segment, flow)
        rows, costs, after = [], [], []
        for row, (value, learned) in enumerate(zip(ways.values, ways.learned, strict=True)):
            found = step(value)
            if isinstance(found, DesignError):
                self.reasons.note(layer.segment.path, found)
                continue
            macs, params, out = found
            remembered: tuple = ()
            if rules or keep:
                then = {**known, **learned}
                if not all(self._holds(rule, then, layer.segment.path) for rule in rules):
                    continue
                remembered = tuple((p, then[p]) for p in keep if p in then)
            rows.append(row)
            costs.append((macs, params))
            after.append(following.setdefault((out, remembered), len(following)))
        self._rows += len(rows)
        if self._rows > MAX_ROWS:
            raise TooLargeError(layer.segment.path)
        return Table(
            [ways.values[row] for row in rows],
            ways.codes[rows],
            np.array(costs, dtype=np.int64).reshape(len(rows), 2),
            np.array(after, dtype=np.int64),
            len(rows),
        )

    def _holds(self, rule: Expression, known: Known, segment: str) -> bool:
        try:
            holds = bool(rule(Values(known)))
        except KeyError:
            return True  # it speaks of a branch that this design does not have
        except ExpressionError as error:
            self.reasons.note(segment, DesignError(f"rules[{self.tree.rules.index(rule)}]", str(error)))
            return False
        self.reasons.note_rule(rule, holds)
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


def cheapest(
    chain: Chain, weights: NDArray, limits: NDArray | None = None, costs: list[list[NDArray]] | None = None
) -> tuple[list[list[NDArray]], bool]:
    """For every state, the Pareto-least ways to complete it.

    Args:
        chain: The tables.
        weights: (m, k): each row makes one quantity to keep small out of the k costs: a bound from above is a unit
            row, a bound from below its negative.
        limits: (m,) greatest allowed sums: what cannot be part of a design within them is left out.
        costs: Per layer and state, (rows, k); macs and params, as the tables have them, where None.

    Returns:
        Per layer and state, (points, m): no completion lies below all of them, so a design can still be completed
        within limits if and only if some point does. And True where that holds; False where there were so many
        points that some had to be dropped, and only "if" holds.
    """
    costs = costs or [[table.costs for table in layer.tables] for layer in chain.layers]
    weighted = [[each @ weights.T for each in layer] for layer in costs]
    spent = _least_spent(chain, weighted, len(weights))
    behind: list[NDArray] = [np.zeros((1, len(weights)))]
    result, exact = [behind], True
    for number in reversed(range(len(chain.layers))):
        here = []
        layer = zip(chain.layers[number].tables, weighted[number], spent[number], strict=True)
        for table, rows, before in layer:
            groups = [np.empty((0, len(weights)))]
            for state in np.unique(table.after):
                least = _least(rows[table.after == state])
                points = (least[:, None] + behind[state][None]).reshape(-1, len(weights))
                groups.append(points if limits is None else points[(points + before <= limits).all(axis=1)])
            points = _least(np.concatenate(groups))
            exact = exact and len(points) <= MAX_POINTS
            here.append(_thinned(points))
        result.append(here)
        behind = here
    return result[::-1], exact


def _least_spent(chain: Chain, weighted: list[list[NDArray]], quantities: int) -> list[NDArray]:
    """Per layer: (states, m) the least of each weighted sum with which a state can be reached."""
    result = [np.zeros((1, quantities))]
    for number, following in enumerate(chain.layers[1:]):
        reached = np.full((len(following.tables), quantities), np.inf)
        for table, rows, before in zip(chain.layers[number].tables, weighted[number], result[-1], strict=True):
            np.minimum.at(reached, table.after, rows + before)
        result.append(reached)
    return result


def _least(points: NDArray) -> NDArray:
    """The rows that no other row is below in every column; duplicates once."""
    if len(points) <= 1:
        return points
    if points.shape[1] == 1:
        return points.min(axis=0, keepdims=True)
    points = np.unique(points, axis=0)
    if points.shape[1] == 2:  # sorted by the first column: keep where the second falls below all before
        best = np.minimum.accumulate(points[:, 1])
        return points[np.r_[True, points[1:, 1] < best[:-1]]]
    from gas.pareto import non_dominated

    return points[non_dominated(points)]


def _thinned(points: NDArray) -> NDArray:
    """At most MAX_POINTS rows: of each stretch of neighbours, those that are least in some column."""
    if len(points) <= MAX_POINTS:
        return points
    columns = points.shape[1]
    stretches = np.array_split(points, MAX_POINTS // columns)  # they come sorted by the first column
    return np.unique(np.concatenate([stretch[stretch.argmin(axis=0)] for stretch in stretches]), axis=0)


def _unfold_all(nodes: tuple, known: Known, needed: frozenset[str], reasons: list) -> Iterator[tuple]:
    if not nodes:
        yield (), (), known
        return
    first, *rest = nodes
    ways = [(None, (), known)] if first is None else unfold(first, known, needed, reasons)
    for value, codes, then in ways:
        for values, more, last in _unfold_all(tuple(rest), then, needed, reasons):
            yield (value, *values), codes + more, last
