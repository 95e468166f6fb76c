"""How the front grew: hypervolume over evaluations, below a reference point that the run's own designs give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gas.pareto import hypervolume, non_dominated
from gas.plots import STRONG, allowed, axis_title, number, short_unit, values, words
from gas.report.html.reading import Contents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

BEYOND = 0.1
"""How far behind the worst design the reference point lies, as a share of the range: so that the ends count too."""


@dataclass(frozen=True)
class Curve:
    """A number that grows with the evaluations.

    Args:
        at: Evaluations done.
        values: The number after each of them; NaN before there is one.
        title: What it is.
        note: What it is measured against, in words.
    """

    at: tuple[int, ...]
    values: tuple[float, ...]
    title: str
    note: str


def curve(contents: Contents) -> Curve | None:
    """The hypervolume after each evaluation, or the best value where there is one objective; None without any.

    The reference point is the worst value of each objective among the designs that are ok, moved on by BEYOND of the
    range; the volume is a share of the box from there to the best value of each. Designs that a bound refutes are left
    out.
    """
    counted = contents.frame[contents.frame["status"].isin(["ok", "failed", "stopped"])]
    numbers = set(allowed(counted, contents.bounds)["number"])
    if not numbers:
        return None
    columns = [
        [math.nan if v is None else (-v if o.maximise else v) for v in values(counted, o.metric)]
        for o in contents.objectives
    ]
    losses = np.array(columns, dtype=float).T
    losses[[number not in numbers for number in counted["number"]]] = math.nan
    known = losses[~np.isnan(losses).any(axis=1)]
    if not len(known):
        return None
    at = tuple(range(1, len(losses) + 1))
    if len(contents.objectives) == 1:
        return _best(contents, at, losses[:, 0])
    best, worst = known.min(axis=0), known.max(axis=0)
    span = np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1.0))
    reference = worst + BEYOND * span
    box = float(np.prod(reference - best))
    grown = tuple(volume / box for volume in volumes(losses, reference))
    ends = [
        f"{words(o.metric)} {number(-r if o.maximise else r, o.metric)} {short_unit(o.metric)}".rstrip()
        for o, r in zip(contents.objectives, reference.tolist(), strict=True)
    ]
    note = (
        f"reference point: {', '.join(ends)} (the worst of this run's designs, moved on by {BEYOND:.0%} of the range)"
    )
    return Curve(at, grown, "hypervolume (share of the box from the reference point to the best of each)", note)


def volumes(losses: np.ndarray, reference: np.ndarray) -> list[float]:
    """(n, m) losses -> hypervolume of the first 1, 2, ... n rows; rows with NaN add nothing."""
    kept = np.empty((0, losses.shape[1]))
    grown: list[float] = []
    for row in losses:
        if not np.isnan(row).any():
            points = np.vstack([kept, row])
            stays = non_dominated(points)
            if stays[-1]:
                kept = points[stays]
                grown.append(hypervolume(kept, reference))
                continue
        grown.append(grown[-1] if grown else 0.0)
    return grown


def figure(found: Curve) -> Figure:
    """As a plotly figure."""
    from plotly.graph_objects import Figure, Scatter

    line: dict[str, Any] = {"color": STRONG, "width": 2, "shape": "hv"}
    trace = Scatter(x=list(found.at), y=_drawn(found.values), mode="lines", line=line, name=found.title)
    trace.update(hovertemplate="%{y:.4g} after %{x} evaluations<extra></extra>")
    made = Figure(data=[trace])
    made.update_layout(xaxis={"title": {"text": "evaluations"}, "rangemode": "tozero"}, showlegend=False)
    made.update_layout(yaxis={"title": {"text": found.title.split(" (")[0]}})
    return made


def draw(axes: Axes, found: Curve) -> None:
    """With matplotlib."""
    axes.step(found.at, found.values, where="post", c=STRONG, lw=1.6)
    axes.set(xlabel="evaluations", ylabel=found.title.split(" (")[0])
    axes.set_title(found.note, fontsize=7)


def _best(contents: Contents, at: tuple[int, ...], losses: np.ndarray) -> Curve:
    lowest = np.fmin.accumulate(losses)
    objective = contents.objectives[0]
    grown = tuple((-lowest if objective.maximise else lowest).tolist())
    return Curve(at, grown, f"best {axis_title(objective.metric)}", "one objective: its best value so far")


def _drawn(numbers: tuple[float, ...]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in numbers]
