"""Predicted against measured latency, for the designs of a run that were both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gas.plots import BOUND, FAINT, STRONG, axis_title, hover_text
from gas.report.agreement import LEAST, MEASURED, PREDICTED, both
from gas.report.html.reading import Contents

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def missing(contents: Contents) -> str:
    """Why there is nothing to compare, in words; empty where there is."""
    if PREDICTED not in contents.frame:
        return "This search did not speak of latency: neither an objective nor a bound nor the utility names it."
    count = len(both(contents.frame, contents.run.reference_ms))
    if count >= LEAST:
        return ""
    return f"{count} designs are measured as yet; the front is measured at the end of the search."


def figure(contents: Contents) -> Figure:
    """As a plotly figure: measured over predicted with quartiles, the line on which they agree, the 90% interval."""
    from plotly.graph_objects import Figure, Scatter

    run = contents.run
    rows = both(contents.frame, run.reference_ms)
    predicted, measured = (rows[name].astype(float).tolist() for name in (PREDICTED, MEASURED))
    low, high = 0.95 * min(predicted + measured), 1.05 * max(predicted + measured)
    made = Figure()
    if run.latency_interval is not None:
        lower, upper = run.latency_interval
        band = {"x": [low, high, high, low], "y": [lower * low, lower * high, upper * high, upper * low]}
        made.add_trace(Scatter(**band, fill="toself", line={"width": 0}, fillcolor="rgba(143,163,181,0.3)"))
        made.data[-1].update(name="90% interval of the prediction", hoverinfo="skip", mode="lines")
    line = {"color": BOUND, "width": 1.2, "dash": "dash"}
    made.add_trace(Scatter(x=[low, high], y=[low, high], mode="lines", line=line, name="as predicted"))
    made.data[-1].update(hoverinfo="skip")
    up = [b - a for a, b in zip(measured, rows["latency_ms_q3"].astype(float), strict=True)]
    down = [a - b for a, b in zip(measured, rows["latency_ms_q1"].astype(float), strict=True)]
    spread = {"type": "data", "array": up, "arrayminus": down, "thickness": 1, "width": 3, "color": FAINT}
    texts = [hover_text(row, (PREDICTED, MEASURED)) for row in rows.to_dict("records")]
    made.add_trace(
        Scatter(
            x=predicted,
            y=measured,
            ids=list(rows["id"]),
            meta="front",
            mode="markers",
            marker={"color": STRONG, "size": 9},
            error_y=spread,
            name="measured, with quartiles",
            hovertext=texts,
            hoverinfo="text",
        )
    )
    made.update_layout(xaxis={"title": {"text": axis_title(PREDICTED)}, "range": [low, high]})
    made.update_layout(yaxis={"title": {"text": axis_title(MEASURED)}, "range": [low, high]})
    made.update_layout(hovermode="closest", legend={"orientation": "h", "y": -0.28})
    return made
