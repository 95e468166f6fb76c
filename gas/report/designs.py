"""Designs in print: one block by block, or one beside others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from gas.architecture import Architecture
from gas.exports.rows import design_rows
from gas.plan import plan
from gas.report.tables import Column, show

BLOCK_COLUMNS = (
    Column.of("block"),
    Column.of("stage"),
    Column.of("path"),
    Column.of("pattern"),
    Column.of("options"),
    Column.of("dim"),
    Column.of("grid"),
    Column.of("params"),
    Column.of("macs"),
    Column.of("macs_share"),
)


def show_design(architecture: Architecture, *, stream: TextIO | None = None, how: str = "text") -> None:
    """Prints a design block by block, with its totals.

    Args:
        architecture: The design.
        stream: Where to; standard output by default.
        how: `text`, `csv` or `json` (the rows of `design_rows`, without the total).
    """
    rows = design_rows(architecture)
    if how != "text":
        show(rows, stream=stream, how=how)
        return
    cost = plan(architecture).cost
    printed = [printed_row(row) for row in rows]
    printed.append({"path": "total", "params": cost.params, "macs": cost.macs, "macs_share": 1.0})
    name = architecture.name or "design"
    side = architecture.resolution
    title = f"{name} ({architecture.id}), input {architecture.channels} x {side} x {side}"
    show(printed, BLOCK_COLUMNS, stream=stream, title=title)


def compare_rows(
    chosen: Mapping[str, Any], references: Sequence[Mapping[str, Any]], *, latency: str = "latency_ms"
) -> list[dict[str, Any]]:
    """A chosen design beside reference designs, and how it stands to each.

    Args:
        chosen: `name` and metrics of the chosen design.
        references: The same for the others, measured alike.
        latency: The metric that holds the latency.

    Returns:
        One row per design, the chosen one first: its own entries, and for params, macs and latency the ratio of the
        chosen design's value to the row's (`params_ratio`: 0.5 means that the chosen one has half as many); None where
        either is not known.
    """
    rows = []
    for row in (chosen, *references):
        ratios = {}
        for metric in ("params", "macs", latency):
            own, other = chosen.get(metric), row.get(metric)
            ratios[f"{metric.removesuffix('_ms')}_ratio"] = own / other if own is not None and other else None
        rows.append({**row, **ratios})
    return rows


def compare_columns(rows: Sequence[Mapping[str, Any]], *, latency: str = "latency_ms") -> list[Column]:
    """The columns in which `compare_rows` is printed: costs with ratios, then what else the rows hold."""
    kind = latency.removesuffix("_ms").replace("_", " ")
    columns = [
        Column.of("name"),
        Column.of("params"),
        Column("params_ratio", "x params", "ratio"),
        Column.of("macs"),
        Column("macs_ratio", "x macs", "ratio"),
        Column.of(latency),
        Column(f"{latency.removesuffix('_ms')}_ratio", f"x {kind}", "ratio"),
    ]
    taken = {column.key for column in columns}
    others = dict.fromkeys(key for row in rows for key in row if key not in taken)
    held = {key for row in rows for key in row}
    return [column for column in columns if column.key in held] + [Column.of(key) for key in others]


def printed_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `design_rows` with `dim` and `grid` in words: what comes in and what goes out."""
    grids = ["x".join(map(str, row[key])) for key in ("grid_in", "grid_out")]
    return {**row, "dim": _change(row["dim_in"], row["dim_out"]), "grid": _change(*grids)}


def _change(before: Any, after: Any) -> str:
    return str(after) if before == after else f"{before} -> {after}"
