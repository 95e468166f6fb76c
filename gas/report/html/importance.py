"""Which decisions mattered: how much worse a forest foretells an objective where one decision is shuffled."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gas.plots import MARKS, STRONG, axis_title, values, words
from gas.report.html.decisions import Axis, axes_of
from gas.report.html.reading import Contents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

LEAST = 30
"""Evaluations below which a forest over decisions says more about chance than about the space."""
FOLDS, SHUFFLES, TREES, SEED = 5, 5, 100, 0
POOR = 0.2
SHOWN = 12
DROP = "drop of R² where it is shuffled"
METHOD = (
    f"Random forests ({TREES} trees) foretell each objective from the decisions, {FOLDS} times from four fifths of the "
    "designs for the fifth left out. A decision's bar is by how much R² on the designs left out drops once its values "
    f"are shuffled among them (mean of {FOLDS} x {SHUFFLES} shuffles, 0: it tells nothing; whisker: standard deviation "
    "over the folds). Decisions that go together share what they tell, so a short bar does not mean that a decision is "
    "free; and designs that a search proposed are no uniform sample of the space."
)


@dataclass(frozen=True)
class Importance:
    """What decisions tell of one metric.

    Args:
        metric: The metric.
        fit: R² of the forests on designs left out of their fit.
        drops: (decision, mean drop of R² where it is shuffled, its standard deviation over folds), most first.
        designs: Number of designs.
    """

    metric: str
    fit: float
    drops: tuple[tuple[str, float, float], ...]
    designs: int


def importances(contents: Contents) -> tuple[list[Importance], str]:
    """For each objective; and, where there is nothing to say, why, in words.

    Returns:
        Those objectives that differ between designs, and words that are empty where there is one at least.
    """
    axes = axes_of(contents.ok, contents.decisions)
    if len(contents.ok) < LEAST:
        return [], f"{len(contents.ok)} designs are ok; {LEAST} are the least from which this is worked out."
    if not axes:
        return [], "No decision differs between the designs."
    found = []
    for objective in contents.objectives:
        column = np.array([np.nan if v is None else v for v in values(contents.ok, objective.metric)], dtype=float)
        known = ~np.isnan(column)
        if known.sum() >= LEAST and np.ptp(column[known]) > 0:
            found.append(importance(objective.metric, axes, column, known))
    return found, "" if found else "No objective differs between the designs."


def importance(metric: str, axes: list[Axis], column: np.ndarray, known: np.ndarray) -> Importance:
    """What decisions tell of one metric, by permutation on designs left out.

    Source: Breiman, "Random forests", Machine Learning 45, 2001, section 10. Differs: whole folds are left out, not
        each tree's own, so that fit and drop are those of the whole forest.

    Args:
        metric: Its name.
        axes: The decisions.
        column: (n,) its values.
        known: (n,) mask of the designs that have one.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    groups = [_encoded(axis)[known] for axis in axes]
    table, target = np.hstack(groups), column[known]
    ends = np.cumsum([0, *(group.shape[1] for group in groups)])
    rng = np.random.default_rng(SEED)
    told, drops = np.empty(len(target)), np.zeros((FOLDS, len(axes)))
    for fold, (train, test) in enumerate(KFold(FOLDS, shuffle=True, random_state=SEED).split(table)):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=SEED, n_jobs=1)
        forest.fit(table[train], target[train])
        told[test] = forest.predict(table[test])
        variance = np.mean((target - target.mean()) ** 2)
        shuffled = [
            _shuffled(table[test], ends[i], ends[i + 1], rng) for i in range(len(axes)) for _ in range(SHUFFLES)
        ]
        again = forest.predict(np.vstack(shuffled)).reshape(len(axes), SHUFFLES, len(test))
        worse = np.mean((again - target[test]) ** 2, axis=(1, 2)) - np.mean((told[test] - target[test]) ** 2)
        drops[fold] = worse / variance
    fit = 1.0 - float(np.sum((told - target) ** 2) / np.sum((target - target.mean()) ** 2))
    listed = zip([axis.label for axis in axes], drops.mean(axis=0).tolist(), drops.std(axis=0).tolist(), strict=True)
    return Importance(metric, fit, tuple(sorted(listed, key=lambda one: -one[1])), len(target))


def fit_words(found: list[Importance]) -> str:
    """How well the forests foretell designs left out, and what to think of those that do not."""
    told = ", ".join(f"{words(one.metric)} {one.fit:.2f} ({one.designs} designs)" for one in found)
    poor = [words(one.metric) for one in found if one.fit < POOR]
    warning = f" The bars of {', '.join(poor)} say little: the forest hardly foretells it." if poor else ""
    return f"R² on designs left out of the fit: {told}.{warning}"


def figure(found: list[Importance]) -> Figure:
    """As a plotly figure: the decisions that matter most for any of the objectives."""
    from plotly.graph_objects import Bar, Figure

    names = _most(found)
    made = Figure()
    colors = [STRONG, *(color for _, color in MARKS)]
    for one, color in zip(found, colors * len(found), strict=False):
        held = {name: (mean, spread) for name, mean, spread in one.drops}
        made.add_trace(
            Bar(
                y=[html.escape(name, quote=False) for name in names],
                x=[held[name][0] for name in names],
                error_x={"type": "data", "array": [held[name][1] for name in names], "thickness": 1, "width": 3},
                orientation="h",
                marker={"color": color},
                name=axis_title(one.metric),
                hovertemplate="%{y}: %{x:.3f}<extra></extra>",
            )
        )
    made.update_layout(yaxis={"autorange": "reversed", "automargin": True}, height=160 + 34 * len(names))
    made.update_layout(xaxis={"title": {"text": DROP}}, barmode="group")
    made.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return made


def draw(axes: Axes, found: list[Importance]) -> None:
    """With matplotlib."""
    names = _most(found)
    height = 0.8 / len(found)
    colors = [STRONG, *(color for _, color in MARKS)]
    for at, (one, color) in enumerate(zip(found, colors * len(found), strict=False)):
        held = {name: (mean, spread) for name, mean, spread in one.drops}
        places = [row + at * height for row in range(len(names))]
        lengths, spreads = ([held[name][i] for name in names] for i in (0, 1))
        label = f"{words(one.metric)} (R² {one.fit:.2f})"
        axes.barh(places, lengths, height, xerr=spreads, color=color, label=label, error_kw={"lw": 0.8})
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(names))], names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(DROP)
    axes.legend(frameon=False, fontsize=8)


def _most(found: list[Importance]) -> list[str]:
    greatest: dict[str, float] = {}
    for one in found:
        for name, mean, _ in one.drops:
            greatest[name] = max(greatest.get(name, mean), mean)
    return sorted(greatest, key=lambda name: -greatest[name])[:SHOWN]


def _encoded(axis: Axis) -> np.ndarray:
    """(n, k): the number of the choice where choices are ordered, else a column for each; absent lies below all."""
    places = np.array(axis.places)
    if axis.ordered:
        return places[:, None].astype(float)
    return (places[:, None] == np.arange(len(axis.choices))[None, :]).astype(float)


def _shuffled(table: np.ndarray, first: int, last: int, rng: np.random.Generator) -> np.ndarray:
    copy = table.copy()
    copy[:, first:last] = table[rng.permutation(len(table)), first:last]
    return copy
