"""The tables of a report: plain cells with the number behind each, which the page sorts by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gas.exports.rows import design_rows
from gas.report.designs import BLOCK_COLUMNS, printed_row
from gas.report.fronts import front_columns
from gas.report.html.reading import Contents
from gas.report.probes import COSTS, LEGEND
from gas.report.tables import Column, known, records

MOST_REASONS = 200
"""Failed evaluations that are listed, at most."""


@dataclass(frozen=True)
class Cell:
    """What is printed, and the value to sort by: a number, text, or None where it is not known."""

    text: str
    value: float | str | None = None

    @property
    def key(self) -> str:
        """The value as the page reads it; empty where it is not known."""
        return "" if self.value is None else repr(self.value) if isinstance(self.value, float) else str(self.value)


@dataclass(frozen=True)
class Table:
    """Headings (with whether the column is of numbers) and rows; `ids` are the content ids of rows that are designs."""

    headings: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]
    ids: tuple[str, ...] = ()


def table_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, id: str = "") -> Table:
    """Rows as a table.

    Args:
        rows: Plain values.
        columns: What is shown of them.
        id: Key of the content id, where rows are designs.
    """
    numeric = [_is_numeric(rows, column.key) for column in columns]
    body = tuple(tuple(_cell(row.get(column.key), column) for column in columns) for row in rows)
    ids = tuple(str(row[id]) for row in rows) if id else ()
    return Table(tuple(zip([c.heading for c in columns], numeric, strict=True)), body, ids)


def front_table(contents: Contents) -> Table:
    """The front: what was searched for, costs, measurements, and what a second proxy says."""
    front = contents.front
    columns = front_columns(contents.run, front)
    rows = records(front)
    for row in rows:
        row["verified"] = "yes" if row.get("verified") else "no"
    return table_of(rows, columns, id="id")


def marks_table(contents: Contents) -> Table | None:
    """The designs beside the search; None where there are none."""
    from gas.costs import cost

    rows = []
    for mark in contents.marks:
        exact = cost(contents.designs[mark["key"]]) if mark["key"] in contents.designs else None
        rows.append(({"macs": exact.macs, "params": exact.params} if exact else {}) | mark)
    if not rows:
        return None
    wanted = ("name", *(o.metric for o in contents.objectives), "macs", "params", "memory_mib", "latency_ms")
    return table_of(rows, [Column.of(n) for n in dict.fromkeys(wanted) if any(n in row for row in rows)])


def stage_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What probes say of a design's stages (rows of `stage_rows`)."""
    held = {name for row in rows for name in row}
    columns = [Column.of("stage"), Column.of("blocks")]
    for name in (*LEGEND, *COSTS):
        share = name == "saliency" or name in COSTS
        heading = f"share of {name.removesuffix('_share')}" if name in COSTS else name.replace("_", " ")
        columns += [Column(name, heading, "share" if share else "ratio")] * (name in held)
    columns += [Column(f"per_{c}", f"saliency / {c}", "ratio") for c in ("macs", "latency") if f"per_{c}" in held]
    columns += [Column.of("verdict")] * ("verdict" in held)
    return table_of(rows, columns)


def failures(contents: Contents) -> tuple[list[tuple[str, int]], Table | None]:
    """How many candidates came to what, and the first MOST_REASONS of those that were not evaluated in full."""
    frame = contents.frame
    counts = [(str(status), int(count)) for status, count in frame["status"].value_counts().items()]
    rows = frame[frame["status"].isin(["failed", "infeasible", "stopped"])].head(MOST_REASONS)
    columns = [Column.of(name) for name in ("id", "number", "status", "reason", "origin", "seconds")]
    return counts, table_of(records(rows), columns, id="id") if len(rows) else None


def ladder_table(contents: Contents) -> Table | None:
    """What came of candidates at each rung below the last; None without a ladder."""
    from gas.archive import Archive

    run = contents.run
    if not run.settings.ladder:
        return None
    with Archive.open(run.path, readonly=True) as archive:
        climbs = archive.climbs()
    rows = []
    for rung, changes in enumerate(run.settings.ladder):
        there = [climb for climb in climbs if climb.rung == rung]
        row: dict[str, Any] = {"rung": rung, "trained": ", ".join(f"{k} {v}" for k, v in changes.items())}
        row |= {"came": len(there), "went on": sum(climb.goes_on for climb in there)}
        rows.append(row | {"seconds": sum(climb.seconds for climb in there)})
    return table_of(rows, [Column.of(name) for name in ("rung", "trained", "came", "went on", "seconds")])


def settings_rows(contents: Contents) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings, each with (name, value): search, proxy, bounds, versions."""
    run = contents.run
    search = [(name, _words(value)) for name, value in run.settings.model_dump(mode="json").items()]
    proxy = run.record["proxy"]
    scored = [(k, _words(v)) for k, v in proxy.items() if k != "fidelity"]
    scored += [(k, _words(v)) for k, v in proxy["fidelity"].items()]
    wanted = [("objective", str(o)) for o in run.objectives]
    wanted += [("utility", run.utility.text)] if run.utility else []
    wanted += [("bound", str(bound)) for bound in contents.bounds]
    wanted += [("latency on", run.latency_words)] if any("latency" in m for m in contents.metrics) else []
    return [
        ("Wanted", wanted),
        ("Search", search),
        ("Proxy and its fidelity", scored),
        ("Versions", [(name, str(version)) for name, version in run.record["versions"].items()]),
    ]


class Texts:
    """Texts that occur many times, each kept once and spoken of by its number."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Number of a text."""
        if text not in self._places:
            self._places[text] = len(self.listed)
            self.listed.append(text)
        return self._places[text]


def block_tables(contents: Contents, ids: Iterable[str], texts: Texts) -> dict[str, list[list[int]]]:
    """Content id -> the design block by block: for each row the numbers of its cells' texts, as in BLOCK_COLUMNS."""
    found = {}
    for id in ids:
        rows = [printed_row(row) for row in design_rows(contents.designs[id])]
        found[id] = [[texts.place(column.cell(row.get(column.key))) for column in BLOCK_COLUMNS] for row in rows]
    return found


def _cell(value: Any, column: Column) -> Cell:
    if not known(value):
        return Cell("")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value), str(value))
    return Cell(column.cell(value), float(value))


def _is_numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    held = [row.get(key) for row in rows if known(row.get(key))]
    return bool(held) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in held)


def _words(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
