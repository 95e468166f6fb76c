"""A search space: the one walk over it that every generator uses, and what can be known about it exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gas.architecture import Architecture
from gas.errors import DesignError, SettingError, SpaceError, describe
from gas.evaluation import Constraint, Objective
from gas.space.arrays import Arrays, Price
from gas.space.budgets import Budgets
from gas.space.codes import Coders
from gas.space.counting import Count, count_within
from gas.space.designs import Designs
from gas.space.document import Document
from gas.space.draws import costs_of_draws, walks, wilson
from gas.space.membership import departure, pieces
from gas.space.sampling import Sampler
from gas.space.tables import COSTS, MAX_ROWS, Chain, TooLargeError
from gas.space.tree import Decision
from gas.space.windows import Window
from gas.space.writing import Writer

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
        self._prices: dict[str, list[NDArray]] = {}
        self._coders: Coders | None = None
        self._sampler: tuple[tuple[Constraint, ...], Sampler] | None = None
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

    def priced(self, metric: str, price: Price, *, low: float = -math.inf, high: float = math.inf) -> SearchSpace:
        """The same space with bounds on one more cost that is a sum over parts, as predicted latency is.

        Generators that are given it propose only what satisfies these bounds together with those on macs and params.

        Args:
            metric: Name of the cost, as recorded; bounds that the space has on it are replaced.
            price: What a part costs where a flow comes in, at least 0.
            low: Least allowed sum.
            high: Greatest allowed sum.

        Raises:
            SettingError: No design satisfies the bounds; says the least (or greatest) sum that the others allow.
        """
        other = copy.copy(self)
        other.__dict__.pop("_budgets", None)
        other._prices = {**self._prices, metric: self.arrays.price(price)}
        others = tuple(c for c in self.constraints if c.metric != metric)
        other.constraints = (*others, Constraint(metric, low, high))
        if not other._budgets.possible:
            ends = [other._budgets.extreme(metric, sign) for sign in (1, -1)]
            expected = f"bounds that meet {ends[0]:.6g} to {ends[1]:.6g}, which is what the other bounds allow"
            raise SettingError(f"constraints.{metric}: {describe(str(other.constraints[-1]), expected)}")
        return other

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
        state, spent, values, decided = 0, 0.0, [], {}
        for number, layer in enumerate(self._chain.layers):
            table = layer.tables[state]
            rows = np.arange(len(table.values))
            if budgets is not None and len(budgets.limits):
                rows = rows[budgets.within(number, state, spent)]
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
            if budgets is not None:
                spent = spent + budgets.costs[number][state][row]
            state = table.after[row]
        architecture = self._chain.architecture(values)
        return Realised(architecture, decided)

    @cached_property
    def arrays(self) -> Arrays:
        """The array form: the tables end to end, and sums over them for many designs at once."""
        return Arrays(self._chain)

    def designs(self, rows: Any = None, *, codes: Any = None, architectures: Iterable[Architecture] = ()) -> Designs:
        """Many designs at once (constraints not applied), from one of three: see `Designs`.

        Args:
            rows: (n, segments) row numbers, as `Designs.rows` has them.
            codes: (n, decisions) numbers of choices in the order of `decisions`; -1 where a decision does not exist.
            architectures: The designs themselves.

        Raises:
            SpaceError: A design is no member; names the first and where it departs.
        """
        if rows is not None:
            return Designs.checked(self.arrays, rows)
        if codes is not None:
            self._coders = self._coders or Coders(self.arrays.layers, self.decisions)
            return Designs(self.arrays, self._coders.rows_of(codes))
        found = []
        for number, architecture in enumerate(architectures):
            try:
                found.append(list(self._row_numbers(architecture)))
            except DesignError as error:
                raise SpaceError([f"designs.architectures[{number}]: {error}"]) from error
        return Designs(self.arrays, np.array(found, dtype=np.int32).reshape(len(found), len(self.arrays.layers)))

    def writer(self, *, feasible: bool = True) -> Writer:
        """The array form of `realise`: writes thousands of designs at a time, near to what is wished.

        Args:
            feasible: Keep to the bounds on macs, params and priced costs.
        """
        return Writer(self.arrays, self.decisions, self._budgets if feasible else None)

    @property
    def exact_metrics(self) -> tuple[str, ...]:
        """Names of the costs that are known of designs without building them."""
        return (*COSTS, *self._prices)

    def exact_costs(self, designs: Designs) -> dict[str, NDArray]:
        """(n,) of each of `exact_metrics`."""
        priced = {name: self.arrays.total(designs.rows, columns) for name, columns in self._prices.items()}
        return {"macs": designs.macs, "params": designs.params, **priced}

    def within(self, designs: Designs) -> NDArray[np.bool_]:
        """(n,) True for the designs within the bounds on macs, params and priced costs."""
        costs = self.exact_costs(designs)
        inside = np.ones(len(designs), dtype=bool)
        for bound in self.constraints:
            if bound.metric in costs:
                inside &= (costs[bound.metric] >= bound.low) & (costs[bound.metric] <= bound.high)
        return inside

    def count(self, *, feasible: bool = False, quick: bool = False) -> int | Count:
        """Number of designs: of all, or (`feasible`) of those within the budgets on macs and params.

        Args:
            feasible: Only those within; a `Count`, which is exact for one budget and, where the tables allow it, for
                two, and says hard bounds otherwise.
            quick: Take seconds at most, for wider bounds where the space is large.
        """
        if not feasible:
            return self.size()
        sizes = {"streamed": 5_000_000, "held": 1_000_000, "cells": 1 << 20, "line": 1_000_000} if quick else {}
        return count_within(self._chain, self._window, **sizes)

    def sample_feasible(self, n: int, seed: int | np.random.Generator = 0) -> Designs:
        """`n` designs drawn uniformly (with repeats) from all within the budgets on macs and params; other bounds are
        not applied.

        Unlike `sample(feasible=True)`, which is uniform at each decision and so prefers designs in small branches.

        Raises:
            SettingError: The bounds leave so little that hardly any proposal meets them.
        """
        window = self._window
        if self._sampler is None or self._sampler[0] != self.budgets:
            self._sampler = self.budgets, Sampler(self.arrays, window)
        return Designs(self.arrays, self._sampler[1].draw(n, np.random.default_rng(seed)).T)

    def sample(self, n: int, seed: int | np.random.Generator = 0, *, feasible: bool = False) -> list[Architecture]:
        """`n` designs: uniform over all designs, or (`feasible`) uniform at each decision within the budgets.

        `sample_feasible` is uniform over the designs within the budgets.
        """
        rng = np.random.default_rng(seed)
        if feasible:
            pick = lambda decision, allowed: allowed[rng.integers(len(allowed))]  # noqa: E731
            return [self.realise(pick).architecture for _ in range(n)]
        return [self._chain.architecture([t.values[r] for t, r in walk]) for walk in walks(self._chain, n, rng)]

    def sample_costs(self, n: int, seed: int | np.random.Generator = 0) -> NDArray[np.int64]:
        """(n, 2) macs and params of designs drawn uniformly from all designs."""
        return costs_of_draws(self._chain, n, np.random.default_rng(seed))

    def feasible_share(self, n: int = 20_000, seed: int = 0) -> tuple[float, float, float]:
        """Share of designs within the bounds on macs and params, from `n` uniform draws: (share, low, high) at 95%."""
        costs = self.sample_costs(n, seed)
        inside = np.ones(n, dtype=bool)
        for constraint in self.budgets:
            column = costs[:, COSTS.index(constraint.metric)]
            inside &= (column >= constraint.low) & (column <= constraint.high)
        return wilson(inside)

    def decode(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that make a design: the proof that it is a member (constraints not applied).

        Raises:
            DesignError: It is no member; names the first place where it departs.
        """
        decided = {}
        for layer, row in zip(self.arrays.layers, self._row_numbers(architecture), strict=True):
            for column, index in enumerate(layer.decisions):
                if layer.codes[row, column] >= 0:
                    decision = self.decisions[index]
                    decided[decision.path] = decision.choices[layer.codes[row, column]]
        return decided

    def __contains__(self, architecture: object) -> bool:
        try:
            self.decode(architecture)  # type: ignore[arg-type]
        except (DesignError, AttributeError):
            return False
        return True

    def __repr__(self) -> str:
        return f"<SearchSpace {self.name}: {len(self.decisions)} decisions, {self.size()} designs>"

    def _row_numbers(self, architecture: Architecture) -> Iterator[int]:
        """The row of each segment that makes a design; DesignError where none does."""
        wanted = pieces(architecture, [layer.segment for layer in self._chain.layers])
        state = 0
        for layer, rows, want in zip(self._chain.layers, self.arrays.layers, wanted, strict=True):
            table = layer.tables[state]
            row = next((i for i, value in enumerate(table.values) if value == want), None)
            if row is None:
                raise departure(want, table.values, layer.segment)
            yield int(rows.first[state]) + row
            state = table.after[row]

    @property
    def _window(self) -> Window:
        return Window.of(self.budgets, self.cost_range)

    @cached_property
    def _budgets(self) -> Budgets:
        return Budgets.of(self._chain, self.constraints, self._prices)

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
        if not self._budgets.possible:
            none = "no design meets" if self._budgets.exact else "no design was found that meets"
            told = [f"constraints: each can be met alone, but {none} {' and '.join(map(str, self.budgets))}"]
            for constraint in self.budgets:
                least, most = (self._budgets.extreme(constraint.metric, sign) for sign in (1, -1))
                told.append(f"within the others {constraint.metric} is {least:,.0f} to {most:,.0f}")
            raise self._error("constraints", "; ".join(told))

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
