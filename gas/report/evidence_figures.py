"""The figure of a validation: every score's Kendall with its interval, and the best two against the truth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.report.figures import FORBIDDEN, PALE, STRONG, STYLE, save, use_own_cache

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from gas.evidence import Report

LOOKS = {
    "baseline": (FORBIDDEN, "s"),
    "training-free": ("#0072b2", "o"),
    "trained": (STRONG, "D"),
    "combination": ("#009e73", "^"),
    "fitted": ("#cc79a7", "v"),
}
"""Colour and mark of each kind of score."""
ROWS = 40
"""Scores drawn at most: the best ones, and all baselines."""


def plot_evidence(report: Report, path: Path) -> Path:
    """Draws the Kendall of every score within bands, and the two best single scores against the truth.

    Args:
        report: What to draw.
        path: File to write; a .png, .svg or .pdf.

    Raises:
        ValueError: No score has a Kendall.
        SettingError: The file cannot be written.
    """
    known = report.summary[report.summary["tau_band"].notna()]
    if known.empty:
        raise ValueError("no score varies within a band")
    kept = known[(known["kind"] == "baseline") | (known.index < ROWS)]
    single = [name for name in known["proxy"] if name in report.table][:2]
    use_own_cache()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, max(4.5, 0.26 * len(kept) + 1.6)), dpi=150, layout="constrained")
        grid = figure.add_gridspec(max(len(single), 1), 2, width_ratios=(2.0, 1.0))
        _dots(figure.add_subplot(grid[:, 0]), kept.iloc[::-1], report.ceiling)
        for place, name in enumerate(single):
            _scatter(figure.add_subplot(grid[place, 1]), report, name)
        save(figure, path)
    return path


def _dots(axes: Axes, rows: pd.DataFrame, ceiling: float) -> None:
    """A row per score, the best on top."""
    for kind, (colour, mark) in LOOKS.items():
        mine = [(place, row) for place, row in enumerate(rows.to_dict("records")) if row["kind"] == kind]
        if not mine:
            continue
        places, values = [place for place, _ in mine], [row["tau_band"] for _, row in mine]
        ends: list[Any] = [[], []]
        for _, row in mine:
            told = math.isfinite(row["tau_band_low"])
            # The estimate may lie outside an interval of percentiles; a bar has no negative length.
            ends[0].append(max(row["tau_band"] - row["tau_band_low"], 0.0) if told else 0.0)
            ends[1].append(max(row["tau_band_high"] - row["tau_band"], 0.0) if told else 0.0)
        axes.errorbar(values, places, xerr=ends, fmt=mark, color=colour, ms=5, lw=1.2, capsize=2, label=kind)
    axes.axvline(0.0, c="black", lw=0.8)
    if math.isfinite(ceiling):
        axes.axvline(ceiling, c="black", ls="--", lw=1.0, label="no more, for the noise of the truth")
    axes.set_yticks(range(len(rows)), rows["proxy"], fontsize=9)
    axes.set_xlabel("Kendall's tau-b with the truth at equal macs, 95% interval  → better")
    axes.grid(axis="x", color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def _scatter(axes: Axes, report: Report, name: str) -> None:
    table = report.table
    axes.scatter(table[name], table[report.truth], s=16, c=PALE, ec="#4a6a85", lw=0.5)
    axes.set(xlabel=f"{name} (score)", ylabel=report.truth.replace("_", " "))
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
