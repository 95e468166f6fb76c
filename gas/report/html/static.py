"""The figures of a report as pictures.

Drawn with matplotlib: plotly's own export of pictures starts a browser, and a machine that searches seldom has one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gas.errors import SettingError
from gas.report.agreement import plot_latency
from gas.report.figures import STYLE, plot_front, save, use_own_cache
from gas.report.html import decisions, diagram, importance, volume, waste
from gas.report.html.reading import Contents

SUFFIXES = (".png", ".svg")
DPI = 150
NAMES = ("front", "volume", "decisions", "importance", "latency", "probes", "diagram")


def write_figures(contents: Contents, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Writes each figure that there is something to draw for, as PNG and as SVG; returns the files.

    Args:
        contents: What is drawn.
        folder: Where to; made where it does not exist.
        overwrite: Replace files that exist.

    Raises:
        SettingError: A file exists, or the folder cannot be written to.
    """
    check_place(folder, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{folder}: cannot be written: {error.strerror}") from error
    use_own_cache()
    written = []
    for suffix in SUFFIXES:
        if _front(contents, folder / f"front{suffix}"):
            written.append(folder / f"front{suffix}")
        title = contents.run.latency_words
        file = folder / f"latency{suffix}"
        told = {"reference_ms": contents.run.reference_ms, "title": title}
        if plot_latency(contents.frame, contents.run.latency_interval, file, **told):
            written.append(file)
    for name, size, draw in _drawings(contents):
        written += _save(folder / name, size, draw)
    return sorted(written)


def check_place(folder: Path, *, overwrite: bool = False) -> None:
    """SettingError where a folder is a file, or holds figures that are not to be replaced."""
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"{folder}: got a file; expected a folder")
    there = [folder / f"{name}{suffix}" for name in NAMES for suffix in SUFFIXES]
    for file in there:
        if file.exists() and not overwrite:
            raise SettingError(f"{file}: got a file that exists already; expected a new one, or --overwrite")


def _front(contents: Contents, path: Path) -> bool:
    if not len(contents.ok) or any(o.metric not in contents.frame for o in contents.pair):
        return False
    chosen = contents.run.row(contents.chosen) if contents.chosen else None
    look: dict[str, Any] = {"references": contents.marks, "constraints": contents.bounds, "chosen": chosen}
    title = f"{contents.run.record['space']}: {len(contents.ok)} designs, {len(contents.front)} on the front"
    plot_front(contents.frame, contents.front, contents.pair, path=path, title=title, **look)
    return True


def _drawings(contents: Contents) -> list[tuple[str, tuple[float, float], Callable[[Any], None]]]:
    """Name, size in inches and what draws it, of the others."""
    found: list[tuple[str, tuple[float, float], Callable[[Any], None]]] = []
    if curve := volume.curve(contents):
        found.append(("volume", (8.0, 4.5), lambda axes: volume.draw(axes, curve)))
    if shown := decisions.axes_of(contents.ok, contents.decisions):
        size = (max(8.0, 0.5 * len(shown) + 3), 5.5)
        found.append(("decisions", size, lambda axes: decisions.draw(axes, contents, shown)))
    mattering, _ = importance.importances(contents)
    if mattering:
        found.append(("importance", (8.0, 6.0), lambda axes: importance.draw(axes, mattering)))
    if probed := waste.waste(contents):
        found.append(("probes", (7.0, 1.2 + 0.3 * len(probed.ids)), lambda axes: waste.draw(axes, probed)))
    if contents.chosen:
        chosen = contents.chosen
        found.append(("diagram", (11.0, 4.4), lambda axes: diagram.draw(axes, chosen)))
    return found


def _save(stem: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> list[Path]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        draw(figure.subplots())
        files = [stem.with_suffix(suffix) for suffix in SUFFIXES]
        for file in files:
            save(figure, file)
    return files
