"""The designs of a frame in the order asked for: by a column, by weights, or by how much of a knee each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gas.choosing.columns import Columns
from gas.choosing.rules import marginal_utility, weighted
from gas.errors import RunError, SettingError, describe
from gas.evaluation import Objective

if TYPE_CHECKING:
    import pandas as pd

SUM, UTILITY = "weighted_sum", "marginal_utility"
"""Columns that an order by weights, and by knees, adds."""


def ordered(rows: pd.DataFrame, columns: Columns, sort: str, ascending: bool | None = None) -> pd.DataFrame:
    """Rows by a column, the better end first unless `ascending` says which; what is not known comes last.

    Raises:
        SettingError: It is no column.
    """
    column = columns.resolve(sort, "sort")
    upward = not columns.descending(column) if ascending is None else ascending
    return _kept(rows.sort_values(column, ascending=upward, kind="stable", na_position="last"), rows)


def by_weights(rows: pd.DataFrame, columns: Columns, weights: Mapping[str, float]) -> pd.DataFrame:
    """Rows by the sum of weight x metric, in the column `weighted_sum`, least first; each metric is scaled to the rows'
    range (0 best, 1 worst).

    Raises:
        SettingError: A weight is none, or of what is no metric.
    """
    found = rows.assign(**{SUM: weighted(rows, weights, columns)})
    return _kept(found.sort_values(SUM, kind="stable", na_position="last"), rows)


def by_knees(rows: pd.DataFrame, columns: Columns, objectives: Sequence[Objective], knees: int) -> pd.DataFrame:
    """The rows with the greatest marginal utility, in the column `marginal_utility`; see `rules.marginal_utility`.

    Raises:
        SettingError: A number below 1.
    """
    if isinstance(knees, bool) or not isinstance(knees, int) or knees < 1:
        raise SettingError(f"knees: {describe(knees, 'a whole number from 1')}")
    losses = list(zip(*(columns.losses(rows, o.metric) for o in objectives), strict=True))
    found = rows.assign(**{UTILITY: marginal_utility(losses) if losses else []})
    found = found[found[UTILITY] > 0].sort_values(UTILITY, ascending=False, kind="stable")
    return _kept(found.head(knees), rows)


def objectives_of(given: Sequence[Objective] | Mapping[str, str]) -> tuple[Objective, ...]:
    """Objectives, or metric -> "max" or "min", as objectives. RunError where that is none."""
    if not isinstance(given, Mapping):
        return tuple(given)
    if not given:
        raise RunError("objectives: got none; expected at least one")
    for direction in given.values():
        if direction not in ("max", "min"):
            raise RunError(f"objectives: {describe(direction, 'max or min', known=('max', 'min'))}")
    return tuple(Objective(metric, direction == "max") for metric, direction in given.items())


def _kept(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    found = found.reset_index(drop=True)
    found.attrs = rows.attrs
    return found
