"""The rules by which a design is chosen from a front, and the numbers that decided, in words.

best      the best in the first objective.
checked   the highest by the second proxy that looked at the front.
knee      the least sum of objectives, each scaled to the front's range: 0 is the best on the front, 1 the worst.
weights   the least sum of weight times metric, each metric scaled so.
chosen    what was chosen last by one of these, and kept (`gas.choosing.stored`).

The front is that of the designs asked for (`where`); of these, those that meet every constraint as measured, where
there is one. Equal sums: the one that is better in the first objective.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gas.choosing.columns import Columns
from gas.errors import RunError, SettingError, describe
from gas.evaluation import Objective

if TYPE_CHECKING:
    import pandas as pd

CHOSEN = "chosen"
RULES = ("best", "checked", "knee", "weights", CHOSEN)
DRAWS = 4096  # of weights, for the marginal utility


@dataclass(frozen=True)
class Pick:
    """What a rule picks.

    Args:
        row: Its row of the front.
        reason: Why, with the numbers that decided.
    """

    row: int
    reason: str


def pick(
    rule: str,
    front: pd.DataFrame,
    objectives: Sequence[Objective],
    columns: Columns,
    *,
    check: str = "",
    weights: Mapping[str, float] | None = None,
) -> Pick:
    """What a rule picks from a front.

    Args:
        rule: One of RULES, but for `chosen`.
        front: Not empty, best in the first objective first, with a column `verified`.
        objectives: What makes it a front.
        columns: Of the front.
        check: The second proxy's metric, for `checked`.
        weights: Weight by metric, for `weights`, and for it alone.

    Raises:
        SettingError: The rule is none, or the weights are not as it wants them.
        RunError: Nothing on the front is checked.
    """
    if rule not in RULES or rule == CHOSEN:
        expected = f"one of {', '.join(RULES)}"
        raise SettingError(f"choice: {describe(rule, expected, known=RULES)}")
    if (rule == "weights") != bool(weights):
        got = "no weights" if rule == "weights" else "weights"
        raise SettingError(f"choice: got {got} with the rule {rule!r}; expected them with the rule 'weights' alone")
    among = [bool(value) for value in front["verified"]]
    rows = list(np.flatnonzero(among)) if any(among) else list(range(len(front)))
    unsure = "" if any(among) else " (nothing on the front is measured yet, so predictions decide)"
    told = front.iloc[rows]
    if rule in ("best", "checked"):
        order, words = _by_one(rule, told, objectives[0], check)
    elif rule == "knee":
        wanted = {objective.metric: 1.0 for objective in objectives}
        order, words = _by_sum(told, wanted, columns)
        words = f"the knee of the front: the least sum of objectives, each scaled to the front's range: {words}"
    else:
        order, words = _by_sum(told, weights, columns)
        words = f"the least sum of weight x metric, each scaled to the front's range (0 best, 1 worst): {words}"
    row = rows[order]
    chosen = front.iloc[row]
    return Pick(int(row), f"{chosen['id']} (candidate {chosen['number']}): {words}{unsure}")


def _by_one(rule: str, rows: pd.DataFrame, objective: Objective, check: str) -> tuple[int, str]:
    metric, maximise = (check, True) if rule == "checked" else (objective.metric, objective.maximise)
    if not metric or metric not in rows or rows[metric].isna().all():
        raise RunError("got no design of the front that is checked; expected one that a second proxy has looked at")
    values = rows[metric].to_numpy(dtype=float, na_value=math.nan)
    order = np.argsort(-values if maximise else values, kind="stable")  # NaN goes last
    among = "among designs" if rule == "best" else "among designs of the front"
    on = " on the front" if rule == "best" else ""
    words = f"the {'highest' if maximise else 'lowest'} {metric}{on} {among} that meet every constraint as measured"
    first = int(order[0])
    return first, f"{words}: {values[first]:.6g}{_next(rows, values, order)}"


def _by_sum(rows: pd.DataFrame, weights: Mapping[str, float], columns: Columns) -> tuple[int, str]:
    names = checked_weights(weights, columns)
    losses = scaled([columns.losses(rows, name) for name in names])  # (m, n)
    sums = np.array(list(names.values())) @ losses
    if np.isnan(sums).all():
        raise SettingError(f"weights: got {', '.join(names)}; expected metrics that are known of a design of the front")
    order = np.argsort(sums, kind="stable")
    first = int(order[0])
    terms = [
        f"{weight:g} x {name} {losses[i, first]:.3f}"
        if set(names.values()) != {1.0}
        else f"{name} {losses[i, first]:.3f}"
        for i, (name, weight) in enumerate(names.items())
    ]
    return first, f"{sums[first]:.6g} = {' + '.join(terms)}{_next(rows, sums, order)}"


def _next(rows: pd.DataFrame, values: NDArray[np.float64], order: NDArray[np.int64]) -> str:
    known = [i for i in order if not math.isnan(values[i])]
    if len(known) < 2:
        return ", the only one"
    after = rows.iloc[known[1]]
    return f"; next is {after['id']} with {values[known[1]]:.6g}"


def checked_weights(weights: Mapping[str, float], columns: Columns) -> dict[str, float]:
    """Weights by column; SettingError where one is no weight, or is of what is no metric."""
    found: dict[str, float] = {}
    for name, weight in weights.items():
        column = columns.metric(name, "weights")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise SettingError(f"weights.{name}: {describe(weight, 'a number from 0')}")
        if column in found:
            raise SettingError(f"weights.{name}: got {column} a second time; expected each metric once")
        found[column] = float(weight)
    if not any(found.values()):
        raise SettingError("weights: got none above 0; expected one at least, as in blend=1,macs=0.5")
    return found


def weighted(rows: pd.DataFrame, weights: Mapping[str, float], columns: Columns) -> NDArray[np.float64]:
    """(n,) the sum of weight x metric, each scaled to the rows' range: 0 is the best of them, 1 the worst."""
    names = checked_weights(weights, columns)
    return np.array(list(names.values())) @ scaled([columns.losses(rows, name) for name in names])


def scaled(losses: ArrayLike) -> NDArray[np.float64]:
    """(m, n) losses -> each row over its own range: 0 the least, 1 the greatest; a row without a range is 0."""
    points = np.asarray(losses, dtype=float)
    result = np.full_like(points, math.nan)
    for row, values in enumerate(points):
        known = ~np.isnan(values)
        if known.any():
            low, high = values[known].min(), values[known].max()
            result[row, known] = (values[known] - low) / (high - low if high > low else 1.0)
    return result


def marginal_utility(losses: ArrayLike, seed: int = 0) -> NDArray[np.float64]:
    """(n, m) losses of a front -> (n,) how much worse the next best design would be, on the mean over all weights.

    Each column is scaled to the front's range. Weights are drawn evenly from those that add up to 1; for each, the
    design with the least weighted sum is credited with what the second least has more. Great values are knees: where a
    little of one objective costs much of another. Rows with NaN, and rows that equal another, get 0.
    Source: Branke, Deb, Dierolf, Osswald, Finding knees in multi-objective optimization, PPSN VIII, 2004, section 3.2.
    """
    points = np.asarray(losses, dtype=float)
    known = ~np.isnan(points).any(axis=1)
    result = np.zeros(len(points))
    rows = np.flatnonzero(known)
    if len(rows) < 2:
        return result
    places = scaled(points[rows].T)  # (m, n)
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(places)), DRAWS)  # (draws, m)
    sums = weights @ places  # (draws, n)
    two = np.argpartition(sums, 1, axis=1)[:, :2]
    values = np.take_along_axis(sums, two, axis=1)
    first = np.argmin(values, axis=1)
    np.add.at(result, rows[two[np.arange(DRAWS), first]], np.abs(values[:, 0] - values[:, 1]) / DRAWS)
    return result
