"""A search space: the one walk over it that every generator uses, and what can be known about it exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gas.architecture import Architecture
from gas.errors import DesignError, SpaceError, describe
from gas.evaluation import Constraint, Objective
from gas.space.document import Document
from gas.space.tables import COSTS, MAX_ROWS, Chain, Table, TooLargeError, cheapest
from gas.space.tree import Decision

Choose = Callable[[Decision, tuple], Any]


@dataclass(frozen=True)
class Realised:
    """A design with the choices that made it.

    Args:
        architecture: The design.
        decisions: Value per decision path, in walk order; only decisions that exist for this design.
    """

    architecture: Architecture
    decisions: Mapping[str, Any] = field(compare=False)


@dataclass(frozen=True)
class Budgets:
    """Bounds on macs and params, ready for look-up.

    Args:
        weights: (m, 2) over (macs, params): unit rows for upper bounds, negative ones for lower bounds.
        limits: (m,) greatest allowed weighted sums.
        rest: Per layer: (states, points, m) Pareto-least costs of what is still undecided, padded with infinity.
        exact: False where some of them were dropped, so that some designs within the bounds are never proposed.
    """

    weights: NDArray
    limits: NDArray
    rest: list[NDArray]
    exact: bool


class SearchSpace:
    """A set of architectures, written as design patterns with decisions; made by `load_space`.

    Args:
        document: The file that says it.
        constraints: Its constraints, those on macs and params resolved to absolute numbers.
        references: The designs that the file speaks of, by the name it uses.

    Raises:
        SpaceError: No design is possible, a choice is never possible, or the rules link too much to count.
    """

    def __init__(
        self,
        document: Document,
        constraints: Sequence[Constraint] = (),
        references: Mapping[str, Architecture] | None = None,
    ) -> None:
        self.document = document
        self.name = document.name or "space"
        self.about = document.about
        self.published = document.published
        self.objectives: tuple[Objective, ...] = document.objectives
        self.constraints = tuple(constraints)
        self.references = dict(references or {})
        try:
            self._chain = Chain(document.tree)
        except TooLargeError as error:
            raise self._error(
                str(error),
                f"the tables take more than {MAX_ROWS:,} rows; give fewer choices, or fewer ties and rules",
            ) from error
        self._check_possible()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Every decision, conditional ones included, in walk order."""
        return self.document.tree.decisions

    def size(self) -> int:
        """Exact number of designs (constraints not applied)."""
        return self._chain.size

    @property
    def is_design(self) -> bool:
        """True where nothing is left to decide."""
        return not self.decisions

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Every side of the input image that a design of the space may have, pixels, rising."""
        return tuple(sorted({value[0] for table in self._chain.layers[0].tables for value in table.values}))

    @property
    def cost_range(self) -> dict[str, tuple[int, int]]:
        """Least and greatest macs and params over all designs."""
        return self._chain.cost_range

    @property
    def budgets(self) -> tuple[Constraint, ...]:
        """The constraints that are exact before anything is built: those on macs and params."""
        return tuple(c for c in self.constraints if c.metric in COSTS)

    def realise(self, choose: Choose, *, feasible: bool = True) -> Realised:
        """Walks the space and decides it.

        Args:
            choose: Called as `choose(decision, allowed)` at each decision that exists, in walk order; returns one of
                `allowed`: the choices that some design within reach still has.
            feasible: Allow only what can still be completed within the bounds on macs and params.

        Returns:
            The design; with `feasible` it satisfies those bounds, whatever was chosen.
        """
        budgets = self._budgets if feasible else None
        state, spent, values, decided = 0, np.zeros(2), [], {}
        for number, layer in enumerate(self._chain.layers):
            table = layer.tables[state]
            rows = np.arange(len(table.values))
            if budgets is not None and len(budgets.limits):
                rows = rows[_within(table, budgets, number, spent)]
            for column, index in enumerate(layer.decisions):
                codes = table.codes[rows, column]
                if codes[0] < 0:  # this decision stands in a branch that was not chosen
                    continue
                decision = self.decisions[index]
                allowed = np.unique(codes)
                value = choose(decision, tuple(decision.choices[c] for c in allowed))
                code = self._code(decision, value, allowed)
                rows = rows[codes == code]
                decided[decision.path] = decision.choices[code]
            row = rows[0]
            values.append(table.values[row])
            spent = spent + table.costs[row]
            state = table.after[row]
        architecture = self._chain.architecture(values)
        return Realised(architecture, decided)

    def sample(self, n: int, seed: int | np.random.Generator = 0, *, feasible: bool = False) -> list[Architecture]:
        """`n` designs: uniform over all designs, or (`feasible`) uniform at each decision within the budgets."""
        rng = np.random.default_rng(seed)
        if feasible:
            pick = lambda decision, allowed: allowed[rng.integers(len(allowed))]  # noqa: E731
            return [self.realise(pick).architecture for _ in range(n)]
        return [self._chain.architecture([t.values[r] for t, r in walk]) for walk in self._walks(n, rng)]

    def sample_costs(self, n: int, seed: int | np.random.Generator = 0) -> NDArray[np.int64]:
        """(n, 2) macs and params of designs drawn uniformly from all designs."""
        rng = np.random.default_rng(seed)
        costs, states = np.zeros((n, 2), dtype=np.int64), np.zeros(n, dtype=np.int64)
        for number, layer in enumerate(self._chain.layers):
            following = np.empty_like(states)
            for state in np.unique(states):
                here = np.flatnonzero(states == state)
                table = layer.tables[state]
                rows = rng.choice(len(table.values), size=len(here), p=self._weights(number, state))
                costs[here] += table.costs[rows]
                following[here] = table.after[rows]
            states = following
        return costs

    def feasible_share(self, n: int = 20_000, seed: int = 0) -> tuple[float, float, float]:
        """Share of designs within the bounds on macs and params, from `n` uniform draws: (share, low, high) at 95%."""
        costs = self.sample_costs(n, seed)
        inside = np.ones(n, dtype=bool)
        for constraint in self.budgets:
            column = costs[:, COSTS.index(constraint.metric)]
            inside &= (column >= constraint.low) & (column <= constraint.high)
        share, z = inside.mean(), 1.96
        middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n  # Wilson's interval: sound at shares near 0 and 1
        return float(share), max(0.0, float((middle - spread) / scale)), min(1.0, float((middle + spread) / scale))

    def decode(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that make a design: the proof that it is a member (constraints not applied).

        Raises:
            DesignError: It is no member; names the first place where it departs.
        """
        wanted = _pieces(architecture)
        if len(wanted) != len(self._chain.layers):
            raise DesignError("stages", f"got {len(architecture.stages)} stages; they are not those of {self.name}")
        state, decided = 0, {}
        for layer, want in zip(self._chain.layers, wanted, strict=True):
            table = layer.tables[state]
            row = next((i for i, value in enumerate(table.values) if value == want), None)
            if row is None:
                raise DesignError(layer.segment.path, _departure(want, table))
            for column, index in enumerate(layer.decisions):
                if table.codes[row, column] >= 0:
                    decision = self.decisions[index]
                    decided[decision.path] = decision.choices[table.codes[row, column]]
            state = table.after[row]
        return decided

    def __contains__(self, architecture: object) -> bool:
        try:
            self.decode(architecture)  # type: ignore[arg-type]
        except (DesignError, AttributeError):
            return False
        return True

    def __repr__(self) -> str:
        return f"<SearchSpace {self.name}: {len(self.decisions)} decisions, {self.size()} designs>"

    def _walks(self, n: int, rng: np.random.Generator) -> Iterator[list[tuple[Table, int]]]:
        for _ in range(n):
            state, walk = 0, []
            for number, layer in enumerate(self._chain.layers):
                table = layer.tables[state]
                row = rng.choice(len(table.values), p=self._weights(number, state))
                walk.append((table, row))
                state = table.after[row]
            yield walk

    def _weights(self, number: int, state: int) -> NDArray[np.float64]:
        """Share of a state's completions that goes through each row of its table."""
        if number + 1 == len(self._chain.layers):
            count = len(self._chain.layers[number].tables[state].values)
            return np.full(count, 1.0 / count)
        ways = self._chain.layers[number + 1].ways
        total = self._chain.layers[number].ways[state]
        # Python integers divide exactly, however large.
        return np.array([ways[s] / total for s in self._chain.layers[number].tables[state].after])

    @cached_property
    def _budgets(self) -> Budgets:
        rows, limits = [], []
        for constraint in self.budgets:
            unit = np.eye(2)[COSTS.index(constraint.metric)]
            if constraint.high < math.inf:
                rows.append(unit)
                limits.append(constraint.high)
            if constraint.low > -math.inf:
                rows.append(-unit)
                limits.append(-constraint.low)
        weights = np.array(rows).reshape(-1, 2)
        points, exact = cheapest(self._chain, weights, np.array(limits)) if rows else ([], True)
        return Budgets(weights, np.array(limits), [_padded(layer) for layer in points], exact)

    def _code(self, decision: Decision, value: Any, allowed: NDArray) -> int:
        for code in allowed:
            if decision.choices[code] == value:
                return code
        raise ValueError(f"{decision.path}: {describe(value, f'one of {[decision.choices[c] for c in allowed]}')}")

    def _check_possible(self) -> None:
        if not self.size():
            why = self._chain.impossible()
            raise self._error(why.where, str(why) if self.is_design else f"no design of the space is possible: {why}")
        unused = self._chain.unused()
        if unused:
            # What stands inside an unused pattern goes without saying.
            branches = {(self.decisions[d].path, self.decisions[d].choices[c]) for d, c in unused}
            outermost = [(d, c) for d, c in unused if branches.isdisjoint(self.decisions[d].when)]
            raise SpaceError([self._line(self.decisions[d].path, self._why_unused(d, c)) for d, c in outermost])
        for constraint in self.budgets:
            least, most = self.cost_range[constraint.metric]
            where = f"constraints.{constraint.metric}"
            if constraint.high < least:
                text = f"{where}.max: got {constraint.high:,.0f}; the least possible value is {least:,}"
                raise self._error(where, text)
            if constraint.low > most:
                raise self._error(where, f"{where}.min: got {constraint.low:,.0f}; the greatest possible is {most:,}")
        if self.budgets and not self._some_feasible():
            none = "no design meets" if self._budgets.exact else "no design was found that meets"
            text = f"constraints: each can be met alone, but {none} {' and '.join(map(str, self.budgets))}"
            raise self._error("constraints", text)

    def _some_feasible(self) -> bool:
        first = self._budgets.rest[0]
        return bool((first[0] <= self._budgets.limits).all(axis=-1).any())

    def _why_unused(self, decision: int, choice: int) -> str:
        path, value = self.decisions[decision].path, self.decisions[decision].choices[choice]
        if (decision, choice) in self._chain.doubled:
            why = "other choices make the same designs"
        else:
            why = self._chain.reasons.of_choice(path, value, self.document.tree.rules)
        # Another branch may well use the same value at the same place, and not every path names its branch.
        when = () if "(" in path else self.decisions[decision].when
        where = " and ".join(f"{at} is {label}" for at, label in when)
        return f"{path}: no design can use {value!r}{f' where {where}' if where else ''}{f': {why}' if why else ''}"

    def _line(self, path: str, text: str) -> str:
        line, column = self.document.place(path)
        return f"{self.document.file}:{line}:{column}: {text}"

    def _error(self, path: str, text: str) -> SpaceError:
        return SpaceError([self._line(path, text)])


def _within(table: Table, budgets: Budgets, number: int, spent: NDArray) -> NDArray[np.bool_]:
    """(rows,) mask: with this row, some completion stays within every limit."""
    used = (table.costs + spent) @ budgets.weights.T  # (rows, m)
    rest = budgets.rest[number + 1][table.after]  # (rows, points, m)
    return (used[:, None] + rest <= budgets.limits).all(axis=-1).any(axis=-1)


def _padded(states: list[NDArray]) -> NDArray[np.float64]:
    longest = max(len(points) for points in states)
    result = np.full((len(states), longest, states[0].shape[1]), np.inf)
    for i, points in enumerate(states):
        result[i, : len(points)] = points
    return result


def _pieces(architecture: Architecture) -> list[Any]:
    """The design cut as the chain cuts it."""
    pieces: list[Any] = [(architecture.resolution, architecture.channels, architecture.stem)]
    for stage in architecture.stages:
        pieces.append((stage.entry, stage.dim))
        pieces += stage.blocks
    return [*pieces, architecture.head]


def _departure(want: Any, table: Table) -> str:
    """What of a piece is not among the choices, in words."""
    absent = "its default"
    wanted, possible = dict(_flat(want)), [dict(_flat(value)) for value in table.values]
    for key in dict.fromkeys([*wanted, *(key for each in possible for key in each)]):
        value = wanted.get(key, absent)
        choices = {each.get(key, absent) for each in possible}
        if value not in choices:
            listed = sorted(choices, key=lambda c: (str(type(c)), c if isinstance(c, int | float) else str(c)))
            return f"got {key} {value}; the space has {', '.join(map(str, listed))}"
    return f"got {wanted}; the space has each value, but not together"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, tuple):  # a stem or the way into a stage, as `_pieces` cuts them
        names = ("entry", "dim") if len(value) == 2 else ("resolution", "channels", "")
        for part, inner in zip(names, value, strict=True):
            yield from _flat(inner, part)
    else:
        yield name, value
