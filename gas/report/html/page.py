"""The page itself: everything in one file, which a browser opens without any network."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gas.disk import write_whole
from gas.errors import SettingError
from gas.plots import (
    COUNTS,
    axis_title,
    bound_words,
    direction,
    front_figure,
    near_bounds,
    shape_words,
    unit,
    values,
    words,
)
from gas.report.agreement import latency_notes
from gas.report.html import decisions, diagram, importance, latency, tables, volume, waste
from gas.report.html.reading import Contents
from gas.report.progress import clock
from gas.report.tables import MACS_NOTE, Column
from gas.run import Run

FILE = "report.html"
MOST_BLOCKS = 2000
"""Designs that can be opened block by block, at most: the front, then the others as they were told."""
ENDS = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def write_report(
    run: Run, out: Path | None = None, *, overwrite: bool = False, contents: Contents | None = None
) -> Path:
    """Writes the report of a run as one HTML file.

    Args:
        run: The run; its search may be under way.
        out: File to write; `report.html` in the run's folder where None, which is simply written anew.
        overwrite: Replace `out` where it exists.
        contents: What was read of the run; None to read it now.

    Returns:
        The file.

    Raises:
        SettingError: `out` exists, or its folder does not.
        RunError: The run is damaged, or the file cannot be written.
    """
    check_out(out, overwrite=overwrite)
    path = run.path / FILE if out is None else out
    write_whole(path, page(contents or Contents.of(run)))
    return path


def check_out(out: Path | None, *, overwrite: bool) -> None:
    """SettingError where a report cannot be written to a file, or that file is not to be replaced."""
    if out is None:
        return
    if out.is_dir():
        raise SettingError(f"{out}: got a folder; expected a file, such as {out / FILE}")
    if not out.absolute().parent.is_dir():
        raise SettingError(f"{out}: got no folder {out.absolute().parent}; expected one that exists")
    if out.exists() and not overwrite:
        raise SettingError(f"{out}: got a file that exists already; expected a new one, or --overwrite")


def page(contents: Contents) -> str:
    """The whole page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("gas.report.html", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    told = _told(contents)
    figures = _figures(contents, told)
    own = {name: Markup(_source(environment, name)) for name in ("style.css", "script.js")}
    return environment.get_template("template.html").render(
        **told,
        figures=figures,
        style=own["style.css"],
        script=own["script.js"],
        plotly=Markup(get_plotlyjs()),
        data=Markup(embedded(_data(contents, figures))),
    )


def embedded(data: Any) -> str:
    """JSON that may stand within a script element, whatever its texts hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign, escaped in ENDS:
        text = text.replace(sign, escaped)
    return text


def _source(environment: Any, name: str) -> str:
    return environment.loader.get_source(environment, name)[0]


def _told(contents: Contents) -> dict[str, Any]:
    """Everything but the figures."""
    run = contents.run
    axes = decisions.axes_of(contents.ok, contents.decisions)
    mattering, why_none = importance.importances(contents)
    probed = waste.waste(contents)
    counts, failed = tables.failures(contents)
    return {
        "run": run,
        "quoted": shlex.quote(str(run.path)),
        "name": run.record["space"],
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "contents": contents,
        "facts": _headline(contents),
        "metrics": _metrics(contents),
        "macs_note": MACS_NOTE,
        "front_table": tables.front_table(contents) if len(contents.front) else None,
        "marks_table": tables.marks_table(contents),
        "curve": volume.curve(contents),
        "axes": axes,
        "mattering": mattering,
        "why_none": why_none,
        "method": importance.METHOD,
        "fit": importance.fit_words(mattering) if mattering else "",
        "no_latency": latency.missing(contents),
        "latency_notes": latency_notes(contents.frame, run.latency_interval, run.reference_ms),
        "probed": probed,
        "no_probes": waste.missing(contents),
        "probe_rule": waste.RULE,
        "stage_table": tables.stage_table(probed.stages[0]) if probed else None,
        "diagram": diagram.svg(contents.chosen) if contents.chosen else None,
        "shape": shape_words(contents.chosen.to_dict()) if contents.chosen else [],
        "ladder": tables.ladder_table(contents),
        "opinion": opinion(contents),
        "counts": counts,
        "failed": failed,
        "most_reasons": tables.MOST_REASONS,
        "settings": tables.settings_rows(contents),
        "far_bounds": _far_bounds(contents),
    }


def _headline(contents: Contents) -> list[tuple[str, str]]:
    run, given = contents.run, contents.run.settings
    facts = [("State", contents.state), ("Evaluations", f"{contents.counted} of {given.budget}")]
    facts += [("Candidates", str(len(contents.frame))), ("Front", f"{len(contents.front)} designs")]
    facts += [("Began", str(run.record.get("began", "-")).replace("T", " "))]
    facts += [("Time, first event to last", clock(contents.seconds))]
    worked = float(contents.frame["seconds"].sum())
    facts += [("Time of workers", clock(worked)), ("Workers", str(given.workers)), ("Seed", str(given.seed))]
    return [*facts, ("Generator", given.generator), ("Proxy", f"{given.proxy} (a score, not an accuracy)")]


def _metrics(contents: Contents) -> list[dict[str, Any]]:
    """What an axis may show: key, words for the menu, axis title, which way is better, whether it is a count."""
    found = []
    for key in contents.metrics:
        way = direction(key, contents.objectives)
        menu = f"{words(key)} ({unit(key)})"
        found.append({"key": key, "menu": menu, "title": axis_title(key, way), "way": way})
        found[-1] |= {"count": key in COUNTS, "short": axis_title(key)}
    return found


def opinion(contents: Contents) -> str:
    """How far a second proxy agrees with what led to the front, in words; empty where none looked at it."""
    name, lead = contents.run.checks.proxy, contents.objectives[0].metric
    rows = contents.front[contents.front[name].notna()] if name in contents.front else contents.front[:0]
    if rows.empty:
        return ""
    text = f"{name} looked at {len(rows)} of {len(contents.front)} designs of the front"
    if len(rows) > 2 and rows[name].nunique() > 1 and rows[lead].nunique() > 1:
        from scipy.stats import kendalltau

        text += f"; Kendall {kendalltau(rows[name], rows[lead].astype(float)).statistic:.2f} with {lead}"
    return f"{text}; highest is {rows.loc[rows[name].idxmax(), 'id']} (`checked`)"


def _far_bounds(contents: Contents) -> list[str]:
    """The bounds, in words; those on a metric of the axes are drawn where points are near them."""
    return [bound_words(bound.metric, value, side) for bound, value, side in _ends(contents)]


def _ends(contents: Contents) -> list[tuple[Any, float, int]]:
    ends = [(b, v, s) for b in contents.bounds if not b.of for v, s in ((b.high, 1), (b.low, -1))]
    return [(bound, value, side) for bound, value, side in ends if abs(value) != float("inf")]


def _figures(contents: Contents, told: dict[str, Any]) -> dict[str, Any]:
    """Name -> plotly figure as plain data, of those that there is something to draw for."""
    made: dict[str, Any] = {}
    if len(contents.ok):
        look = {"references": contents.marks, "constraints": contents.bounds}
        chosen = contents.chosen.id if contents.chosen else ""
        across = contents.pair[1].metric
        frame = contents.frame[contents.frame["status"] != "duplicate"]
        made["front"] = front_figure(frame, contents.front, contents.objectives, x=across, chosen=chosen, **look)
    if told["curve"]:
        made["volume"] = volume.figure(told["curve"])
    if told["axes"]:
        made["parallel"] = decisions.figure(contents, told["axes"])
    if told["mattering"]:
        made["importance"] = importance.figure(told["mattering"])
    if not told["no_latency"]:
        made["latency"] = latency.figure(contents)
    if told["probed"]:
        made["waste"] = waste.figure(told["probed"])
    return {name: _plain(figure) for name, figure in made.items()}


def _plain(figure: Any) -> dict[str, Any]:
    data = json.loads(figure.to_json(engine="json"))
    data["layout"].pop("template", None)  # the page has one of its own, for light and one for dark
    return data


def _data(contents: Contents, figures: dict[str, Any]) -> dict[str, Any]:
    """What the page's script works with."""
    frame = contents.frame[contents.frame["status"] != "duplicate"].drop_duplicates("id")
    columns = [values(frame, metric) for metric in contents.metrics]
    front = list(contents.front["id"])
    good = set(contents.ok["id"])
    texts = tables.Texts()
    beside = [mark["key"] for mark in contents.marks if mark["key"] in contents.designs]
    ids = list(dict.fromkeys([*front, *beside, *frame["id"]]))[:MOST_BLOCKS]
    blocks = tables.block_tables(contents, ids, texts)
    rows = zip(frame.to_dict("records"), zip(*columns, strict=True) if columns else [()] * len(frame), strict=True)
    return {
        "run": shlex.quote(str(contents.run.path)),
        "metrics": _metrics(contents),
        "cells": {m: _formatted(m, column) for m, column in zip(contents.metrics, columns, strict=True)},
        "ids": list(frame["id"]),
        "columns": dict(zip(contents.metrics, columns, strict=True)),
        "about": [[row["number"], row["status"], row["origin"], row["reason"]] for row, _ in rows],
        "allowed": _allowed(contents, frame, good),
        "front": front,
        "marks": [{m: _number(mark.get(m)) for m in contents.metrics} | _named(mark) for mark in contents.marks],
        "bounds": _bounds(contents),
        "headings": [column.heading for column in tables.BLOCK_COLUMNS],
        "texts": texts.listed,
        "blocks": blocks,
        "figures": figures,
    }


def _formatted(metric: str, column: Sequence[float | None]) -> list[str]:
    shown = Column.of(metric)
    return [shown.cell(value) for value in column]


def _allowed(contents: Contents, frame: Any, good: set[str]) -> list[int]:
    """1 for each design that is ok and that no bound refutes."""
    from gas.plots import allowed

    kept = set(allowed(frame, contents.bounds)["id"])
    return [int(id in kept and id in good) for id in frame["id"]]


def _bounds(contents: Contents) -> list[dict[str, Any]]:
    drawn = []
    for bound, value, side in _ends(contents):
        known = [v for v in values(contents.ok, bound.metric) if v is not None]
        if (value, side) in near_bounds([bound], bound.metric, known):
            drawn.append({"metric": bound.metric, "value": value, "words": bound_words(bound.metric, value, side)})
    return drawn


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _named(mark: dict[str, Any]) -> dict[str, Any]:
    return {"name": str(mark["name"]), "key": str(mark["key"])}
