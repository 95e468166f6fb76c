"""Runs beside one another, drawn: hypervolume over evaluations, and the fronts; as a PNG, and as a page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gas.report.figures import DPI, INCHES, MARKS, SCALES, STYLE, axis_label, save, use_own_cache

if TYPE_CHECKING:
    import pandas as pd

    from gas.report.comparing import Comparison

CURVES = "hypervolume, common scale"


def plot_comparison(found: Comparison, path: Path) -> Path:
    """Draws curves and fronts into a .png, .svg or .pdf; SettingError where it cannot be written."""
    use_own_cache()
    import matplotlib
    from matplotlib.figure import Figure

    panels = _panels(found)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(INCHES[0] * (1 + len(panels)) / 2, INCHES[1]), dpi=DPI, layout="constrained")
        axes = figure.subplots(1, 1 + len(panels), squeeze=False)[0]
        for index, name in enumerate(found.runs):
            marker, colour = MARKS[index % len(MARKS)]
            curve = _of(found.curves, name)
            axes[0].step(curve["evaluations"], curve["hypervolume"], where="post", c=colour, label=name)
            for panel, (across, up) in zip(axes[1:], panels, strict=True):
                front = _of(found.fronts, name)
                x, y = _scaled(front, across), _scaled(front, up)
                panel.scatter(x, y, s=34, marker=marker, c=colour, ec="white", lw=0.6, label=name, zorder=3)
        axes[0].set_xlabel("evaluations")
        axes[0].set_ylabel(CURVES)
        for panel, (across, up) in zip(axes[1:], panels, strict=True):
            panel.set_xlabel(axis_label(across))
            panel.set_ylabel(axis_label(up))
        axes[0].locator_params(axis="x", integer=True)
        for panel in axes:
            panel.locator_params(axis="x", nbins=5)
            panel.grid(color="#e6e6e6", lw=0.8)
            panel.set_axisbelow(True)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
        save(figure, path)
    return path


def html_of(found: Comparison) -> str:
    """The same as one HTML page with all it needs; a design's id shows where the pointer is."""
    import html

    import plotly.graph_objects as go
    import plotly.io
    from plotly.subplots import make_subplots

    panels = _panels(found)
    figure = make_subplots(rows=1, cols=1 + len(panels))
    for index, name in enumerate(found.runs):
        colour, label = MARKS[index % len(MARKS)][1], html.escape(name)
        curve = _of(found.curves, name)
        line = {"x": curve["evaluations"], "y": curve["hypervolume"], "line": {"color": colour, "shape": "hv"}}
        figure.add_trace(go.Scatter(**line, name=label, legendgroup=label), row=1, col=1)
        front = _of(found.fronts, name)
        words = [f"{label}: {id}, candidate {n}" for id, n in zip(front["id"], front["number"], strict=True)]
        for place, (across, up) in enumerate(panels):
            points = {"x": _scaled(front, across), "y": _scaled(front, up), "text": words, "marker": {"color": colour}}
            points |= {"mode": "markers", "legendgroup": label, "showlegend": False, "name": label}
            figure.add_trace(go.Scatter(**points), row=1, col=2 + place)
    figure.update_xaxes(title_text="evaluations", row=1, col=1)
    figure.update_yaxes(title_text=CURVES, row=1, col=1)
    for place, (across, up) in enumerate(panels):
        figure.update_xaxes(title_text=axis_label(across), row=1, col=2 + place)
        figure.update_yaxes(title_text=axis_label(up), row=1, col=2 + place)
    figure.update_layout(template="plotly_white", title=html.escape(" and ".join(map(str, found.objectives))))
    return plotly.io.to_html(figure, include_plotlyjs=True, full_html=True)


def _panels(found: Comparison) -> list[tuple[str, str]]:
    """(across, up) of each picture of the fronts; none where there is one objective."""
    first, *others = [objective.metric for objective in found.objectives]
    return [(other, first) for other in others]


def _of(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows[rows["run"] == name]


def _scaled(rows: pd.DataFrame, metric: str) -> list[float]:
    return (rows[metric].astype(float) / SCALES.get(metric, (1.0, ""))[0]).tolist()
