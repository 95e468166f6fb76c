"""Decisions as numbered choices: parallel coordinates over them."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gas.plots import COUNTS, axis_title, number, unit, values, words
from gas.report.html.reading import Contents

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

ABSENT = "none"
SPREAD = 0.3
"""How far lines are spread around a choice, as a share of the distance to the next: else they hide one another."""
GOLDEN = 0.6180339887
_STAGE = re.compile(r"stages\[(\d+)\]\.?")


@dataclass(frozen=True)
class Axis:
    """A decision that differs between designs.

    Args:
        name: Its column.
        label: Its place in the design, shortened.
        places: For each design, the number of its choice; -1 where the decision does not exist there.
        choices: What those numbers mean.
        ordered: True where the choices are numbers.
    """

    name: str
    label: str
    places: tuple[int, ...]
    choices: tuple[str, ...]
    ordered: bool

    @property
    def spread(self) -> list[float]:
        """The places, each moved a little: evenly, by the golden ratio, and always the same for the same design."""
        return [place + SPREAD * (at * GOLDEN % 1 - 0.5) for at, place in enumerate(self.places)]

    @property
    def absent(self) -> bool:
        """True where it does not exist for some design."""
        return -1 in self.places


def axes_of(rows: pd.DataFrame, decisions: list[str]) -> list[Axis]:
    """The decisions of designs in which any two of them differ.

    Choices that are numbers stand in rising order, others in that of their names.
    """
    import pandas as pd

    found = []
    for name in decisions:
        column = [None if pd.isna(value) else value for value in rows[name].astype("object").tolist()]
        held = {value for value in column if value is not None}
        if len(held) + (None in column) < 2:
            continue
        ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in held)
        choices = sorted(held) if ordered else sorted(held, key=str)
        place = {value: at for at, value in enumerate(choices)}
        places = tuple(-1 if value is None else place[value] for value in column)
        texts = tuple(f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ") for value in choices)
        found.append(Axis(name, label(name), places, texts, ordered))
    return found


def label(path: str) -> str:
    """A decision's path in short words: `2 mixer head dim` for `stages[2].blocks[0].mixer.head_dim`."""
    text = _STAGE.sub(lambda found: f"{found[1]} ", path.removeprefix("decisions."))
    return text.replace("blocks[0].", "").replace(".", " ").replace("_", " ").strip()


def figure(contents: Contents, axes: list[Axis]) -> Figure:
    """Parallel coordinates as a plotly figure: a line for each design that is ok, coloured by the first objective."""
    from plotly.graph_objects import Figure, Parcoords

    lead = contents.objectives[0]
    dimensions = [_dimension(axis) for axis in axes]
    dimensions += [
        {
            "label": html.escape(words(o.metric), quote=False),
            "values": values(contents.ok, o.metric),
            "tickformat": ".3~s" if o.metric in COUNTS else ".4~g",
        }
        for o in contents.pair
    ]
    line: dict[str, Any] = {"color": values(contents.ok, lead.metric), "colorscale": "Viridis", "showscale": True}
    line |= {"reversescale": not lead.maximise}
    line |= {"colorbar": {"title": {"text": axis_title(lead.metric), "side": "right"}, "thickness": 14}}
    made = Figure(data=[Parcoords(line=line, dimensions=dimensions, labelangle=-35, labelside="bottom")])
    made.update_layout(meta={"width": 90 + 48 * len(dimensions)}, height=480)
    made.update_layout(margin={"t": 30, "b": 130, "l": 60, "r": 40})
    return made


def draw(plot: Axes, contents: Contents, axes: list[Axis]) -> None:
    """With matplotlib: the same lines, each decision's choices spread over the height."""
    from matplotlib import colormaps

    lead = contents.objectives[0]
    shades = _scaled(values(contents.ok, lead.metric))
    columns = [_scaled(list(axis.spread)) for axis in axes]
    columns += [_scaled(values(contents.ok, o.metric)) for o in contents.pair]
    names = [axis.label for axis in axes] + [words(o.metric) for o in contents.pair]
    for at in sorted(range(len(shades)), key=lambda i: shades[i]):
        plot.plot([column[at] for column in columns], color=colormaps["viridis"](shades[at]), lw=0.8, alpha=0.6)
    plot.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
    for at, axis in enumerate(axes):
        ends = ([ABSENT] if axis.absent else []) + list(axis.choices)
        plot.text(at, -0.02, ends[0], fontsize=6, ha="center", va="top")
        plot.text(at, 1.02, ends[-1], fontsize=6, ha="center", va="bottom")
    lo, hi = _ends(values(contents.ok, lead.metric))
    plot.set_title(f"colour: {words(lead.metric)} ({unit(lead.metric)}), {number(lo)} dark to {number(hi)} bright")
    plot.title.set_fontsize(8)
    plot.set_yticks([])
    plot.margins(x=0.02, y=0.08)


def _dimension(axis: Axis) -> dict[str, Any]:
    first = -1 if axis.absent else 0
    ticks = list(range(first, len(axis.choices)))
    texts = [ABSENT] * axis.absent + [html.escape(choice, quote=False) for choice in axis.choices]
    return {
        "label": html.escape(axis.label, quote=False),
        "values": axis.spread,
        "tickvals": ticks,
        "ticktext": texts,
        "range": [first - SPREAD / 2, max(len(axis.choices) - 1, first + 1) + SPREAD / 2],
    }


def _ends(column: list[float | None]) -> tuple[float, float]:
    known = [value for value in column if value is not None]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _scaled(column: list[float | None]) -> list[float]:
    low, high = _ends(column)
    return [(low if v is None else v) / ((high - low) or 1.0) - low / ((high - low) or 1.0) for v in column]
