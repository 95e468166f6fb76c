"""The figure of this experiment: share of the hypervolume against evaluations, a panel per problem."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart by colour, and by dashes where the hue is near another's.
LINES = {
    "random": ("random", "#9a9a9a", ":"),
    "random-feasible": ("random, feasible", "#555555", "--"),
    "gas-evolution": ("gas evolution", "#56b4e9", "-"),
    "gas-nsga2": ("gas nsga2", "#56b4e9", "--"),
    "gas-tpe": ("gas tpe", "#0072b2", "-"),
    "optuna-nsga2": ("Optuna NSGA-II", "#009e73", "-"),
    "optuna-tpe": ("Optuna TPE", "#e69f00", "-"),
    "optuna-gp": ("Optuna GP", "#cc79a7", "-"),
    "pymoo-nsga2:pop_size=20": ("pymoo NSGA-II, 20", "#88bb55", "--"),
    "pymoo-sms:pop_size=20": ("pymoo SMS-EMOA, 20", "#a05a2c", "--"),
    "ax-default": ("Ax", "#7a3fa0", "-"),
    "gas-inquisitor": ("gas inquisitor", "#d00000", "-"),
}
FIRST = 10  # evaluations; before that there is nothing to see


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draws medians and quartiles of searches one candidate at a time."""
    one = runs[(runs["batch"] == 1) & (runs["evaluations"] >= FIRST)]
    panels = [
        ("analytic", 0.0, "Analytic, surfaces {}"),
        ("analytic", 1.0, "Analytic, noise sd 1.0 on the accuracy told"),
        ("digits", 0.0, "Real: every design trained on digits"),
        ("procedural", 0.0, "Real: every design trained on procedural images"),
    ]
    panels = [p for p in panels if ((one["problem"] == p[0]) & (one["noise"] == p[1])).any()]
    figure = Figure(figsize=(11, 0.8 + 4.0 * -(-len(panels) // 2)), layout="constrained")
    shown: dict[str, object] = {}
    for number, (problem, noise, title) in enumerate(panels):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, number + 1)
        here = one[(one["problem"] == problem) & (one["noise"] == noise)]
        surfaces = ", ".join(str(s) for s in sorted(here["surface"].unique()))
        axes.set_title(title.format(surfaces), fontsize=11, loc="left")
        _panel(axes, here, shown)
    names = [name for name in LINES if name in shown]
    figure.legend(
        [shown[name] for name in names],
        [LINES[name][0] for name in names],
        loc="outside lower center",
        ncols=6,
        frameon=False,
    )
    figure.savefig(path, dpi=130)


def _panel(axes: Axes, here: pd.DataFrame, shown: dict[str, object]) -> None:
    for name, (_, colour, dashes) in LINES.items():
        of = here[here["sampler"] == name].groupby("evaluations")["share"]
        if not len(of):
            continue
        low, median, high = (of.quantile(q) for q in (0.25, 0.5, 0.75))
        bold = name == "gas-inquisitor"
        axes.fill_between(median.index, low, high, color=colour, alpha=0.22 if bold else 0.12, linewidth=0)
        (shown[name],) = axes.plot(
            median.index, median, color=colour, linestyle=dashes, linewidth=2.6 if bold else 1.5, zorder=3 + bold
        )
    axes.set_xscale("log")
    last = int(here["evaluations"].max())
    ticks = [n for n in (10, 20, 50, 100, 200, 500, 1000) if n <= last]
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.minorticks_off()
    axes.set_xlim(FIRST, last)
    axes.set_ylim(0, 1.005)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("share of the best known hypervolume")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
