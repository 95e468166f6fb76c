"""The front of a search as an interactive plotly figure: for notebooks, and what the HTML report begins with.

Every trace carries the content ids of its points in `ids` and what it is in `meta`, so that a page can put other
metrics on the axes without making the figure anew.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gas.errors import SettingError, describe
from gas.evaluation import UNITS, Constraint, Objective
from gas.pareto import non_dominated

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

FAINT, STRONG, BROKEN, BOUND = "#8fa3b5", "#c1440e", "#7d6b91", "#7a7a7a"
# Told apart in grey and by readers who do not see red and green (Okabe and Ito's colours).
MARKS = (("square", "#0072b2"), ("diamond", "#009e73"), ("triangle-up", "#cc79a7"))
MARKS += (("triangle-down", "#e69f00"), ("cross", "#56b4e9"), ("x", "#5c5c5c"))
COUNTS = ("macs", "params")
SHOWN = ("macs", "params", "memory_mib", "latency_ms_predicted", "latency_ms", "latency_ratio")
NEAR = 0.5
"""A bound is drawn where it lies within the points' range, or beyond it by at most this share of it."""


def words(metric: str) -> str:
    """A metric's name in words, without its unit; of a latency it says whether it was predicted or measured."""
    plain = metric.removesuffix("_predicted").replace("_ms", "").removesuffix("_mib").replace("_", " ")
    kind = ", predicted" if metric.endswith("_predicted") else ", measured" if metric == "latency_ms" else ""
    return f"{plain}{kind}"


def unit(metric: str) -> str:
    """The unit of a metric; `score` for a proxy's, `ratio` for a latency over another design's."""
    if metric == "latency_ratio":
        return "ratio to the reference design"
    told = UNITS.get(metric.removesuffix("_q1").removesuffix("_q3"), "score")
    return told.removesuffix(", predicted").removesuffix(" of ImageNet-1k, estimated")  # the words say so already


def axis_title(metric: str, better: int = 0) -> str:
    """An axis's words, as plotly reads them: metric, unit and which way is better (-1: less, 1: more, 0: not said)."""
    arrow = {1: ", more is better", -1: ", less is better"}.get(better, "")
    return html.escape(f"{words(metric)} ({unit(metric)}{arrow})", quote=False)


def direction(metric: str, objectives: Sequence[Objective]) -> int:
    """1 where more of a metric is better, -1 where less is, 0 where nothing is known of it."""
    for objective in objectives:
        if objective.metric == metric:
            return 1 if objective.maximise else -1
    return -1 if metric.removesuffix("_q1").removesuffix("_q3") in SHOWN else 0


def number(value: Any, metric: str = "") -> str:
    """A value as people read it: counts with k, M and G, other numbers with four digits; `-` where it is not known."""
    from gas.exports.facts import human

    if value is None or value != value:
        return "-"
    return human(float(value)) if metric in COUNTS else f"{float(value):.4g}"


def shape_words(design: str | Mapping[str, Any]) -> list[str]:
    """A design (plain data, or the JSON of it) in three lines: widths, depths and token mixers of its stages."""
    data = json.loads(design) if isinstance(design, str) else design
    stages = data["stages"]
    mixers = []
    for stage in stages:
        found = [block.get("mixer", block) for block in stage["blocks"] if block.get("depth", 1)]
        names = dict.fromkeys((m["pattern"] if isinstance(m, dict) else str(m)).replace("_", " ") for m in found)
        mixers.append(" + ".join(names))
    depths = [sum(block.get("depth", 1) for block in stage["blocks"]) for stage in stages]
    return [
        f"dims {', '.join(str(stage['dim']) for stage in stages)}",
        f"depths {', '.join(map(str, depths))}",
        f"mixers {', '.join(mixers)}",
    ]


def front_figure(
    frame: pd.DataFrame,
    front: pd.DataFrame,
    objectives: Sequence[Objective],
    *,
    x: str | None = None,
    y: str | None = None,
    color: str | None = None,
    references: Sequence[Mapping[str, Any]] = (),
    constraints: Sequence[Constraint] = (),
    chosen: str = "",
) -> Figure:
    """Evaluated designs, the front, reference designs and bounds, with two metrics as axes and a third as colour.

    Args:
        frame: Evaluations, as `Run.frame` gives them.
        front: The front among them, as `Run.front` gives it.
        objectives: What was searched for.
        x: Metric across; the second objective where None (macs where there is only one).
        y: Metric upward; the first objective where None.
        color: Metric by which the front is coloured; None for one colour.
        references: Named designs beside the search: `name` and metrics; those without a value for an axis are left out.
        constraints: Absolute bounds; those on an axis are drawn as lines where the points are near.
        chosen: Content id of the design to ring; empty for none.

    Raises:
        SettingError: x, y or color is no numeric column; says the nearest.
    """
    from plotly.graph_objects import Figure

    y = y or objectives[0].metric
    x = x or next((o.metric for o in objectives[1:]), "params" if y == "macs" else "macs")
    for axis, metric in (("x", x), ("y", y), ("color", color)):
        _check(frame, axis, metric)
    traces = [
        _points(_others(frame, front), x, y, "evaluated", "evaluated", size=7, color=FAINT, opacity=0.6),
        _points(_unfit(frame), x, y, "failed or infeasible", "unfit", size=7, color=BROKEN, symbol="x-thin-open"),
        *_steps(allowed(frame, constraints), x, y, objectives),
        _points(front, x, y, "Pareto front", "front", size=10, color=STRONG, by=color),
        *_marks(references, x, y),
        _ring(frame, x, y, chosen),
    ]
    figure = Figure(data=[trace for trace in traces if trace is not None])
    figure.update_layout(**_axes(x, y, objectives), hovermode="closest", legend={"orientation": "h", "y": -0.18})
    _draw_bounds(figure, frame, constraints, x, y)
    return figure


def hover_text(row: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """What is shown of a design beside the pointer: id, shape and metrics; text from a run is escaped."""
    lines = [f"{row.get('id', '')}, candidate {row.get('number', '')}" + _said(row.get("origin"))]
    if isinstance(row.get("architecture"), str):
        lines += shape_words(row["architecture"])
    lines += [f"{words(m)} {number(row.get(m), m)} {short_unit(m)}".rstrip() for m in metrics if _known(row.get(m))]
    if row.get("status", "ok") != "ok":
        lines.append(f"{row['status']}{_said(row.get('reason'))}")
    head, *rest = (html.escape(line, quote=False) for line in lines)
    return "<br>".join([f"<b>{head}</b>", *rest])


def values(rows: Any, metric: str) -> list[float | None]:
    """A column as plain floats, None where it is not known; all None where there is no such column."""
    if metric not in rows:
        return [None] * len(rows)
    column = rows[metric].to_numpy(dtype=float, na_value=math.nan).tolist()
    return [value if math.isfinite(value) else None for value in column]


def allowed(frame: pd.DataFrame, constraints: Sequence[Constraint]) -> pd.DataFrame:
    """The evaluations that are ok and that no bound refutes; where a value is not known, it refutes nothing."""
    import numpy as np

    rows = frame[frame["status"] == "ok"]
    for bound in constraints:
        if not bound.of:
            kept = [v is None or bound.violation(v) == 0 for v in values(rows, bound.metric)]
            rows = rows[np.array(kept, dtype=bool)]  # an empty list would be taken for a choice of columns
    return rows


def pair_front(xs: Sequence[float], ys: Sequence[float], ways: tuple[int, int]) -> list[int]:
    """Indices of the points that none dominates in two metrics alone, from left to right.

    Args:
        xs: Values across.
        ys: Values upward.
        ways: For each, 1 where more is better, -1 where less is.
    """
    losses = [(-x * ways[0], -y * ways[1]) for x, y in zip(xs, ys, strict=True)]
    best = [i for i, kept in enumerate(non_dominated(losses)) if kept] if losses else []
    return sorted(best, key=lambda i: (xs[i], ys[i]))


def bound_words(metric: str, bound: float, side: int) -> str:
    """A bound in words: `macs ≤ 2.20 G`; `side` is 1 for the greatest allowed value, -1 for the least."""
    return f"{words(metric)} {'≤' if side > 0 else '≥'} {number(bound, metric)} {short_unit(metric)}".rstrip()


def near_bounds(constraints: Sequence[Constraint], metric: str, known: Sequence[float]) -> list[tuple[float, int]]:
    """(bound, 1 where it is the greatest allowed value and -1 where the least) of those near the points' range."""
    if not known:
        return []
    low, high = min(known), max(known)
    reach = NEAR * ((high - low) or abs(high) or 1.0)
    ends = [(b, s) for c in constraints if c.metric == metric and not c.of for b, s in ((c.high, 1), (c.low, -1))]
    return [end for end in dict.fromkeys(ends) if low - reach <= end[0] <= high + reach]


def _check(frame: pd.DataFrame, axis: str, metric: str | None) -> None:
    import pandas as pd

    numeric = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    if metric is not None and metric not in numeric and len(frame):
        raise SettingError(f"{axis}: {describe(metric, 'a numeric column of the run', known=numeric)}")


def _others(frame: pd.DataFrame, front: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["status"] == "ok") & ~frame["id"].isin(list(front["id"]))]


def _unfit(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"].isin(["failed", "infeasible"])]


def _points(
    rows: pd.DataFrame,
    x: str,
    y: str,
    name: str,
    role: str,
    *,
    size: int,
    color: str,
    by: str | None = None,
    **marker: Any,
) -> Any:
    from plotly.graph_objects import Scatter

    metrics = [m for m in dict.fromkeys((x, y, *SHOWN)) if m in rows]
    look: dict[str, Any] = {"size": size, "color": color, **marker}
    if by is not None:
        look |= {"color": values(rows, by), "colorscale": "Viridis", "showscale": True}
        look |= {"colorbar": {"title": {"text": axis_title(by), "side": "right"}, "thickness": 14}}
    return Scatter(
        x=values(rows, x),
        y=values(rows, y),
        ids=list(rows["id"]),
        mode="markers",
        marker=look,
        name=name,
        meta=role,
        hovertext=[hover_text(row, metrics) for row in rows.to_dict("records")],
        hoverinfo="text",
    )


def _steps(rows: pd.DataFrame, x: str, y: str, objectives: Sequence[Objective]) -> list[Any]:
    """The front in the two metrics of the axes alone, as a step: no design is known between two of its members."""
    from plotly.graph_objects import Scatter

    ways = direction(x, objectives), direction(y, objectives)
    known = [(a, b) for a, b in zip(values(rows, x), values(rows, y), strict=True) if a is not None and b is not None]
    path: list[tuple[float, float]] = []
    if all(ways):
        path = [known[i] for i in pair_front([a for a, _ in known], [b for _, b in known], ways)]
    line = {"color": STRONG, "width": 1.2, "shape": "hv" if ways[0] < 0 else "vh", "dash": "dot"}
    xs, ys = ([point[i] for point in path] for i in (0, 1))
    return [Scatter(x=xs, y=ys, mode="lines", line=line, name="front of these two", meta="steps", hoverinfo="skip")]


def _marks(references: Sequence[Mapping[str, Any]], x: str, y: str) -> list[Any]:
    from plotly.graph_objects import Scatter

    traces = []
    for at, row in enumerate(references):
        symbol, color = MARKS[at % len(MARKS)]
        place = [row.get(metric) if _known(row.get(metric)) else None for metric in (x, y)]
        name = html.escape(str(row["name"]), quote=False)
        metrics = [m for m in dict.fromkeys((x, y, *SHOWN)) if _known(row.get(m))]
        lines = [f"{words(m)} {number(row[m], m)} {short_unit(m)}".rstrip() for m in metrics]
        traces.append(
            Scatter(
                x=[place[0]],
                y=[place[1]],
                ids=[str(row.get("key", row["name"]))],
                mode="markers+text",
                text=[name],
                textposition="top center",
                marker={"symbol": symbol, "color": color, "size": 12, "line": {"color": "white", "width": 1}},
                name=name,
                meta="mark",
                cliponaxis=False,
                hovertext=["<br>".join([f"<b>{name}</b>", *(html.escape(line, quote=False) for line in lines)])],
                hoverinfo="text",
            )
        )
    return traces


def _ring(frame: pd.DataFrame, x: str, y: str, chosen: str) -> Any:
    from plotly.graph_objects import Scatter

    rows = frame[frame["id"] == chosen].head(1)
    if not len(rows):
        return None
    ring = {"symbol": "circle-open", "size": 19, "color": BOUND, "line": {"width": 2}}
    place = {"x": values(rows, x), "y": values(rows, y), "ids": [chosen]}
    return Scatter(**place, mode="markers", marker=ring, name="chosen", meta="chosen", hoverinfo="skip")


def _axes(x: str, y: str, objectives: Sequence[Objective]) -> dict[str, Any]:
    return {
        f"{name}axis": {
            "title": {"text": axis_title(metric, direction(metric, objectives))},
            "tickformat": "~s" if metric in COUNTS else None,
        }
        for name, metric in (("x", x), ("y", y))
    }


def _draw_bounds(figure: Figure, frame: pd.DataFrame, constraints: Sequence[Constraint], x: str, y: str) -> None:
    ok = frame[frame["status"] == "ok"]
    for metric, draw, way in ((x, figure.add_vline, "x"), (y, figure.add_hline, "y")):
        known = [value for value in values(ok, metric) if value is not None]
        for bound, side in near_bounds(constraints, metric, known):
            text = html.escape(bound_words(metric, bound, side), quote=False)
            place = "top left" if way == "x" else "bottom right"
            line = {"line": {"dash": "dash", "color": BOUND, "width": 1.2}, "name": "bound"}
            draw(
                bound,
                **line,
                annotation={"text": text, "font": {"color": BOUND, "size": 11}},
                annotation_position=place,
            )


def short_unit(metric: str) -> str:
    """The unit behind a value, where its metric has a short one."""
    return {"memory_mib": "MiB", "latency_ms": "ms", "latency_ms_predicted": "ms"}.get(metric, "")


def _said(text: Any) -> str:
    return f", {text}" if isinstance(text, str) and text else ""


def _known(value: Any) -> bool:
    return value is not None and type(value).__name__ != "NAType" and value == value
