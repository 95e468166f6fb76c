"""Bounds on what is a sum over parts: which choices some design within all of them still has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gas.evaluation import Constraint
from gas.space.tables import COSTS, Chain, cheapest

BEYOND = 1e18  # no sum of costs comes near it


@dataclass(frozen=True)
class Budgets:
    """Bounds on macs, params and priced costs, ready for look-up.

    Args:
        chain: The tables.
        constraints: The bounds, at most one on each cost.
        prices: Per priced cost: per layer, (rows,) what each row adds.
        weights: (m, k) over the k costs: unit rows for upper bounds, negative ones for lower bounds.
        limits: (m,) greatest allowed weighted sums.
        costs: Per layer and state: (rows, k).
        rest: Per layer: (states, points, m) Pareto-least costs of what is still undecided, padded with infinity.
        exact: False where some of them were dropped, so that some designs within the bounds are never proposed.
    """

    chain: Chain
    constraints: tuple[Constraint, ...]
    prices: Mapping[str, list[NDArray]]
    weights: NDArray
    limits: NDArray
    costs: list[list[NDArray]]
    rest: list[NDArray]
    exact: bool

    @classmethod
    def of(cls, chain: Chain, constraints: Sequence[Constraint], prices: Mapping[str, list[NDArray]]) -> Budgets:
        """From bounds; those on other metrics than macs, params and the priced ones are left out.

        Args:
            chain: The tables.
            constraints: Bounds on anything.
            prices: See above, and `Arrays.price`.
        """
        names = [*COSTS, *prices]
        about = tuple(c for c in constraints if c.metric in names)
        weights, limits = [], []
        for constraint in about:
            unit = np.eye(len(names))[names.index(constraint.metric)]
            ends = ((unit, constraint.high), (-unit, -constraint.low))
            weights += [row for row, end in ends if end < math.inf]
            limits += [end for _, end in ends if end < math.inf]
        costs = _costs(chain, prices)
        rows, ends = np.array(weights).reshape(-1, len(names)), np.array(limits)
        points, exact = cheapest(chain, rows, ends, costs) if limits else ([], True)
        return cls(chain, about, prices, rows, ends, costs, [_padded(layer) for layer in points], exact)

    def within(self, number: int, state: int, spent: NDArray | float) -> NDArray[np.bool_]:
        """(rows,) mask over a table: with this row, some completion stays within every limit.

        Args:
            number: Layer.
            state: State.
            spent: (k,) costs so far.
        """
        table = self.chain.layers[number].tables[state]
        used = (self.costs[number][state] + spent) @ self.weights.T  # (rows, m)
        rest = self.rest[number + 1][table.after]  # (rows, points, m)
        return (used[:, None] + rest <= self.limits).all(axis=-1).any(axis=-1)

    @property
    def possible(self) -> bool:
        """Whether some design is within all bounds."""
        return not len(self.limits) or bool((self.rest[0][0] <= self.limits).all(axis=-1).any())

    def extreme(self, metric: str, sign: int) -> float:
        """The least (sign 1) or greatest (-1) sum of a cost among designs within the other bounds; NaN for none."""
        # A bound that nothing breaks makes the cost one of the quantities to keep small.
        loose = Constraint(metric, high=BEYOND) if sign == 1 else Constraint(metric, low=-BEYOND)
        others = [c for c in self.constraints if c.metric != metric]
        alone = Budgets.of(self.chain, [*others, loose], self.prices)
        inside = alone.rest[0][0][(alone.rest[0][0] <= alone.limits).all(axis=-1)]
        return sign * float(inside[:, -1].min()) if len(inside) else math.nan


def _costs(chain: Chain, prices: Mapping[str, list[NDArray]]) -> list[list[NDArray]]:
    """Per layer and state: (rows, k) macs, params and priced costs."""
    result = []
    for number, layer in enumerate(chain.layers):
        ends = np.cumsum([len(table.values) for table in layer.tables])[:-1]
        priced = [np.split(columns[number], ends) for columns in prices.values()]
        result.append([np.column_stack(each) for each in zip([t.costs for t in layer.tables], *priced, strict=True)])
    return result


def _padded(states: list[NDArray]) -> NDArray[np.float64]:
    longest = max(len(points) for points in states)
    result = np.full((len(states), longest, states[0].shape[1]), np.inf)
    for i, points in enumerate(states):
        result[i, : len(points)] = points
    return result
