"""Where the probes saw waste: for each stage, its share of the saliency over its share of the cost."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gas.report.html.reading import Contents
from gas.report.probes import SHORT, stage_rows
from gas.report.tables import records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

MOST = 30
"""Designs that are shown, at most."""
RULE = (
    f"Above {SHORT:g} a stage is called short, below {1 / SHORT:.2f} wasted. Saliency is gradient times activation: "
    "how far the class scores would move, to first order, were a block to do nothing. It is a hint, no measurement of "
    "accuracy."
)


@dataclass(frozen=True)
class Waste:
    """What probes say of the stages of designs.

    Args:
        cost: `latency` (as predicted) or `macs`: of which cost the share is taken.
        ids: Content ids, the chosen design first, then the rest of the front.
        stages: For each design the rows of `stage_rows`.
    """

    cost: str
    ids: tuple[str, ...]
    stages: tuple[tuple[dict[str, Any], ...], ...]

    @property
    def ratios(self) -> list[list[float | None]]:
        """For each design, saliency over cost by stage; None where it is not known."""
        wide = max(len(rows) for rows in self.stages)
        ratios = [[row.get(f"per_{self.cost}") for row in rows] for rows in self.stages]
        return [row + [None] * (wide - len(row)) for row in ratios]


def waste(contents: Contents) -> Waste | None:
    """What the run's probes say of the chosen design and the front; None where they were not taken."""
    chosen = [contents.chosen.id] if contents.chosen else []
    ids = list(dict.fromkeys([*chosen, *contents.front["id"]]))[:MOST]
    found = {}
    for id in ids:
        rows = records(contents.run.probes(id))
        if rows and any("saliency" in row for row in rows):
            found[id] = tuple(stage_rows(rows))
    if not found:
        return None
    timed = all("per_latency" in row for rows in found.values() for row in rows)
    return Waste("latency" if timed else "macs", tuple(found), tuple(found.values()))


def missing(contents: Contents) -> str:
    """Why there are no probes, in words."""
    generator = contents.run.settings.generator
    return f"No design of the front was probed: the generator {generator} asked for none, or there is no front yet."


def figure(found: Waste) -> Figure:
    """As a plotly figure: a row for each design, a column for each stage; blue is short, orange wasted."""
    from plotly.graph_objects import Figure, Heatmap

    ratios = found.ratios
    stages = [f"stage {number}" for number in range(len(ratios[0]))]
    texts = [["" if v is None else f"{v:.2f}" for v in row] for row in ratios]
    reach = math.log2(4)
    made = Figure(
        Heatmap(
            z=[[None if not v else max(-reach, min(reach, math.log2(v))) for v in row] for row in ratios],
            x=stages,
            y=[html.escape(id, quote=False) for id in found.ids],
            text=texts,
            texttemplate="%{text}",
            zmin=-reach,
            zmax=reach,
            colorscale=[[0, "#d55e00"], [0.5, "#f4f1ea"], [1, "#0072b2"]],
            colorbar={"tickvals": [-2, -1, 0, 1, 2], "ticktext": ["≤ ¼", "½", "1", "2", "≥ 4"], "thickness": 14},
            textfont={"color": "#1d1d1d"},
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
            xgap=2,
            ygap=2,
        )
    )
    made.update_layout(yaxis={"autorange": "reversed", "type": "category"}, height=150 + 26 * len(found.ids))
    made.update_layout(xaxis={"side": "top"}, margin={"t": 40, "b": 20, "l": 120})
    return made


def draw(axes: Axes, found: Waste) -> None:
    """With matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap

    ratios = found.ratios
    shades = LinearSegmentedColormap.from_list("waste", ["#d55e00", "#f4f1ea", "#0072b2"])
    logs = [[math.log2(v) if v else math.nan for v in row] for row in ratios]
    axes.imshow(logs, cmap=shades, vmin=-2, vmax=2, aspect="auto")
    for y, row in enumerate(ratios):
        for x, value in enumerate(row):
            axes.text(x, y, "" if value is None else f"{value:.2f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(ratios[0])), [f"stage {number}" for number in range(len(ratios[0]))])
    axes.set_yticks(range(len(found.ids)), found.ids, fontsize=7, family="monospace")
    axes.set_title(f"share of saliency over share of {found.cost}: blue short, orange wasted", fontsize=9)
