"""Figures for papers and reports, drawn with matplotlib's objects: no display, no global state."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.errors import SettingError, describe
from gas.evaluation import UNITS, Constraint, Objective

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
INCHES, DPI = (8.0, 16 / 3), 150  # 1200 x 800 pixels
PALE, STRONG, FORBIDDEN = "#9db4c8", "#c1440e", "#7a7a7a"
# Told apart in grey and by readers who do not see red and green (Okabe and Ito's colours).
MARKS = (("s", "#0072b2"), ("D", "#009e73"), ("^", "#cc79a7"), ("v", "#e69f00"), ("P", "#56b4e9"), ("X", "#000000"))
SCALES = {"macs": (1e9, "G multiply-adds"), "params": (1e6, "million")}
SHORT = {"macs": " G", "params": " M", "latency_ms": " ms", "latency_ms_predicted": " ms", "memory_mib": " MiB"}
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}


def plot_front(
    frame: pandas.DataFrame,
    front: pandas.DataFrame,
    objectives: Sequence[Objective],
    *,
    path: str | os.PathLike,
    references: Sequence[Mapping[str, Any]] = (),
    constraints: Sequence[Constraint] = (),
    chosen: Mapping[str, Any] | None = None,
    title: str = "",
) -> Path:
    """Draws every evaluated design, the Pareto front, and reference designs as named marks.

    With two objectives the front is one curve. With more there is one panel per further objective, all sharing the
    first as their vertical axis; the front is then drawn as points, because what is best in all of them together is no
    curve in any two.

    Args:
        frame: Evaluations with a column per metric; rows whose `status` is not `ok` are left out.
        front: The non-dominated ones among them.
        objectives: Two or more; the first is the vertical axis.
        path: File to write; .png, .svg or .pdf. A PNG has 1200 x 800 pixels.
        references: Reference designs: `name` and metrics; those that lack an axis's metric are left out of its panel.
        constraints: Absolute bounds; one on an axis's metric is drawn as a line, what it forbids is shaded.
        chosen: Metrics of the design to ring, if any.
        title: A line above.

    Returns:
        The file.

    Raises:
        SettingError: Another suffix, a place that cannot be written, fewer than two objectives, a metric that no
            column holds.
    """
    path = Path(path)
    _check(path, frame, objectives)
    use_own_cache()
    import matplotlib
    from matplotlib.figure import Figure

    ok = frame[frame["status"] == "ok"] if "status" in frame else frame
    across = objectives[1:]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(across), sharey=True, squeeze=False)[0]
        for axes, horizontal in zip(panels, across, strict=True):
            pair = (horizontal, objectives[0])
            _draw_designs(axes, ok, front, pair, joined=len(across) == 1)
            _draw_marks(axes, references, chosen, pair)
            _draw_bounds(axes, constraints, pair)
            _label(axes, pair, first=axes is panels[0])
        _frame_in(figure, panels, title)
        save(figure, path)
    return path


def save(figure: Figure, path: Path) -> None:
    """Writes a figure; SettingError where that cannot be."""
    try:
        figure.savefig(path)
    except OSError as error:
        raise SettingError(f"{path}: cannot be written: {error.strerror or error}") from error


def axis_label(metric: str) -> str:
    """An axis's words: the metric and its unit; a proxy's score is called so."""
    if metric in SCALES:
        return f"{metric} ({SCALES[metric][1]})"
    return f"{_words(metric)} ({UNITS.get(metric, 'score')})"


def _frame_in(figure: Figure, panels: Sequence[Axes], title: str) -> None:
    """The title, and one legend for all panels below them."""
    if title:
        figure.suptitle(title)
    entries = {}
    for axes in panels:
        entries |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    columns = min(4, len(entries))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False)


def _words(metric: str) -> str:
    return metric.removesuffix("_predicted").removesuffix("_ms").removesuffix("_mib").replace("_", " ")


def _check(path: Path, frame: pandas.DataFrame, objectives: Sequence[Objective]) -> None:
    if path.suffix.lower() not in SUFFIXES:
        allowed = ", ".join(SUFFIXES)
        raise SettingError(f"{path}: {describe(path.suffix, f'one of {allowed}', known=SUFFIXES)}")
    if len(objectives) < 2:
        raise SettingError(f"objectives: got {len(objectives)}; expected two or more to draw a front")
    for objective in objectives:
        if objective.metric not in frame:
            raise SettingError(f"objectives: {describe(objective.metric, 'a column', known=list(frame.columns))}")


def use_own_cache() -> None:
    """Keeps matplotlib's font list beside our own cache: nothing else of ours goes into the home folder."""
    from gas.data.cache import cache_folder

    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))


def _values(rows: Any, metric: str) -> Any:
    return rows[metric].astype(float) / SCALES.get(metric, (1.0, ""))[0]


def _draw_designs(
    axes: Axes, ok: pandas.DataFrame, front: pandas.DataFrame, pair: tuple[Objective, Objective], *, joined: bool
) -> None:
    across, up = (objective.metric for objective in pair)
    axes.scatter(_values(ok, across), _values(ok, up), s=18, c=PALE, alpha=0.7, lw=0, label="evaluated", zorder=2)
    ordered = front.sort_values(across)
    x, y = _values(ordered, across), _values(ordered, up)
    if joined:
        # A step, not a slope: no design is known between two members of the front.
        axes.step(x, y, where="post" if not pair[0].maximise else "pre", c=STRONG, lw=1.4, alpha=0.9, zorder=3)
    axes.scatter(x, y, s=40, c=STRONG, ec="white", lw=0.8, label="Pareto front", zorder=4)


def _draw_marks(
    axes: Axes,
    references: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, Any] | None,
    pair: tuple[Objective, Objective],
) -> None:
    def place(row: Mapping[str, Any]) -> list[float] | None:
        values = [row.get(objective.metric) for objective in pair]
        if any(value is None or value != value for value in values):
            return None
        return [float(v) / SCALES.get(o.metric, (1.0, ""))[0] for v, o in zip(values, pair, strict=True)]

    for i, row in enumerate(references):
        marker, colour = MARKS[i % len(MARKS)]
        where = place(row)
        if where:
            axes.scatter(*where, s=70, marker=marker, c=colour, ec="white", lw=0.8, label=row["name"], zorder=5)
    where = place(chosen) if chosen else None
    if where:
        axes.scatter(*where, s=170, marker="o", fc="none", ec="black", lw=1.4, label="chosen", zorder=6)


def _draw_bounds(axes: Axes, constraints: Sequence[Constraint], pair: tuple[Objective, Objective]) -> None:
    """Lines at bounds on either axis; the view stays on the designs, and is only stretched to show a bound nearby."""
    for objective, line, span, limits, stretch in (
        (pair[0], axes.axvline, axes.axvspan, axes.get_xlim, axes.set_xlim),
        (pair[1], axes.axhline, axes.axhspan, axes.get_ylim, axes.set_ylim),
    ):
        for constraint in constraints:
            if constraint.metric != objective.metric or constraint.of:
                continue
            low, high = limits()
            scale = SCALES.get(objective.metric, (1.0, ""))[0]
            for bound, sign in ((constraint.high / scale, 1), (constraint.low / scale, -1)):
                if not low - 0.5 * (high - low) <= bound <= high + 0.5 * (high - low):
                    continue
                beyond = bound + 0.04 * sign * (high - low)
                low, high = min(low, beyond), max(high, beyond)
                side, unit = "≤" if sign > 0 else "≥", SHORT.get(objective.metric, "")
                label = f"{_words(objective.metric)} {side} {bound:.3g}{unit}"
                line(bound, c=FORBIDDEN, ls="--", lw=1.2, label=label, zorder=1)
                span(bound, high if sign > 0 else low, color=FORBIDDEN, alpha=0.10, lw=0, zorder=0)
            stretch(low, high)


def _label(axes: Axes, pair: tuple[Objective, Objective], *, first: bool) -> None:
    def words(objective: Objective, better: str) -> str:
        return f"{axis_label(objective.metric)}  {better}"

    axes.set_xlabel(words(pair[0], "→ better" if pair[0].maximise else "← better"))
    if first:
        axes.set_ylabel(words(pair[1], "→ better" if pair[1].maximise else "← better"))
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
