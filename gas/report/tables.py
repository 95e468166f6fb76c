"""Rows as text: for people on a terminal or through a pipe, for programs as CSV or JSON.

People get units in the headings and counts with k, M and G; programs get every column at full precision.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from gas.errors import SettingError, describe
from gas.exports.facts import human

if TYPE_CHECKING:
    pass

MACS_NOTE = "macs: multiply-adds (papers' FLOPs)"
# How a column of this name is printed, where the caller does not say; a name's first match counts.
KINDS = (
    ("macs_share", "share"),
    ("macs", "count"),
    ("params", "count"),
    ("latency_ratio", "ratio"),
    ("_ms", "ms"),
    ("_mib", "mib"),
    ("top1", "points"),
)
HEADINGS = {"macs_share": "share of macs", "latency_ms_predicted": "latency, predicted (ms)", "seconds": "seconds (s)"}

Rows = "pandas.DataFrame | Iterable[Mapping[str, Any]]"


@dataclass(frozen=True)
class Column:
    """A column to print.

    Args:
        key: Key in each row.
        heading: What stands above; by default the key, with its unit.
        kind: `text`, `count` (12.66 M), `ms`, `mib`, `share` (of 1, printed in percent), `ratio`, `points` (a
            percentage), `number`.
    """

    key: str
    heading: str
    kind: str = "text"

    @classmethod
    def of(cls, key: str, heading: str = "", kind: str = "") -> Column:
        """A column, with what its name tells of it."""
        kind = kind or next((k for name, k in KINDS if name in key), "")
        unit = {"ms": " (ms)", "mib": " (MiB)"}.get(kind, "")
        plain = key.replace("_ms", "", 1).replace("_mib", "", 1).replace("_", " ")
        heading = heading or HEADINGS.get(key, f"{plain}{unit}")
        return cls(key, heading, kind or "text")

    def cell(self, value: Any) -> str:
        """The value as people read it; empty where it is not known."""
        if not known(value):
            return ""
        if isinstance(value, str | bool) or not isinstance(value, int | float):
            return str(value)
        match self.kind:
            case "count":
                return human(value)
            case "ms" | "mib":
                return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
            case "share":
                return f"{value:.1%}"
            case "ratio":
                return f"{value:.2f}"
            case "points":
                return f"{value:.1f}"
        return str(value) if isinstance(value, int) else f"{value:.4g}"


def records(rows: Rows) -> list[dict[str, Any]]:
    """A frame or an iterable of mappings as a list of dicts of plain Python values."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        rows = rows.to_dict("records")
    return [{str(k): plain(v) for k, v in row.items()} for row in rows]


def columns_of(rows: Sequence[Mapping[str, Any]], keys: Iterable[str | Column] = ()) -> list[Column]:
    """Columns for `keys`, or for every key that occurs, in order of appearance."""
    found = list(keys) or list(dict.fromkeys(key for row in rows for key in row))
    return [key if isinstance(key, Column) else Column.of(key) for key in found]


def to_text(rows: Rows, columns: Iterable[str | Column] = (), *, title: str = "", notes: Sequence[str] = ()) -> str:
    """Aligned text without colour: numbers to the right, words to the left, notes below."""
    rows = records(rows)
    chosen, cells = _laid_out(rows, columns)
    right = [_is_right(rows, column) for column in chosen]
    table = [[column.heading for column in chosen], *cells]
    widths = [max(len(line[i]) for line in table) for i in range(len(chosen))]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in table
    ]
    rule = "  ".join("-" * w for w in widths)
    return "\n".join([*[title] * bool(title), lines[0], rule, *lines[1:], *all_notes(chosen, notes)])


def to_csv(rows: Rows) -> str:
    """CSV of every column, full precision; what is not known is empty."""
    rows = records(rows)
    keys = [column.key for column in columns_of(rows)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([_compact(row.get(key)) for key in keys] for row in rows)
    return out.getvalue().rstrip("\n")


def to_json(rows: Rows) -> str:
    """JSON: a list of records with every column, full precision; what is not known is null."""
    return json.dumps(records(rows), indent=2, ensure_ascii=False, allow_nan=False)


def show(
    rows: Rows,
    columns: Iterable[str | Column] = (),
    *,
    stream: TextIO | None = None,
    how: str = "text",
    title: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Prints rows: a drawn table on a terminal, aligned text where piped; or CSV or JSON.

    Args:
        rows: A pandas frame or mappings.
        columns: What to print as text, in order; by default everything. CSV and JSON always hold everything.
        stream: Where to; standard output by default.
        how: `text`, `csv` or `json`.
        title: A line above (text only).
        notes: Lines below (text only); the note on macs is added where macs are shown.
    """
    import sys

    stream = stream or sys.stdout
    makers = {"text": to_text, "csv": to_csv, "json": to_json}
    if how not in makers:
        raise SettingError(f"how: {describe(how, 'one of text, csv, json', known=makers)}")
    if how == "text" and stream.isatty():
        _draw(records(rows), columns, stream, title, notes)
        return
    print(to_text(rows, columns, title=title, notes=notes) if how == "text" else makers[how](rows), file=stream)


def all_notes(columns: Iterable[Column], notes: Sequence[str] = ()) -> list[str]:
    """The notes, with the one on macs where a column shows macs: it is said once."""
    said = any("macs" in column.key or "macs" in column.heading for column in columns)
    return [*notes, *[MACS_NOTE] * (said and MACS_NOTE not in notes)]


def known(value: Any) -> bool:
    """False for None and NaN (pandas' NA included)."""
    return value is not None and type(value).__name__ not in ("NAType", "NaTType") and value == value


def plain(value: Any) -> Any:
    """A value as JSON has it: numpy's numbers as Python's, unknown as None, infinite as text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if not isinstance(value, str) and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if not known(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value if isinstance(value, str | bool | int | float) else str(value)


def _laid_out(rows: list[dict], columns: Iterable[str | Column]) -> tuple[list[Column], list[list[str]]]:
    chosen = columns_of(rows, columns)
    return chosen, [[_line(column.cell(row.get(column.key))) for column in chosen] for row in rows]


def _line(text: str) -> str:
    """One line, without what a terminal would take as an order."""
    return "".join(c if c.isprintable() else " " for c in text)


def _is_right(rows: list[dict], column: Column) -> bool:
    values = [row.get(column.key) for row in rows if known(row.get(column.key))]
    return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _compact(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else "" if value is None else value


def _draw(rows: list[dict], columns: Iterable[str | Column], stream: TextIO, title: str, notes: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    chosen, cells = _laid_out(rows, columns)
    table = Table(title=Text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in chosen:
        right = _is_right(rows, column)
        # Where the terminal is narrow, words wrap; numbers and what a row is called stay whole.
        whole = right or column is chosen[0]
        table.add_column(Text(column.heading), justify="right" if right else "left", no_wrap=whole)
    for line in cells:
        # Text objects: brackets in a value (stages[0].dim) are no markup.
        table.add_row(*map(Text, line))
    console = Console(file=stream)
    console.print(table)
    for note in all_notes(chosen, notes):
        console.print(Text(note, style="dim"))
