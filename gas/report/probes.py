"""Probes in print: what each block of a design does and costs, and what that says of its stages."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TextIO

from gas.architecture import Architecture
from gas.exports.rows import probe_rows
from gas.probes import probe
from gas.report.tables import Column, known, records, show
from gas.run import Run

SHORT = 1.5
"""How many times its share of the cost a stage's share of the saliency is, from which it is called short; at the
inverse of it and below, wasted."""

COSTS = ("macs_share", "params_share", "latency_share")
LEGEND = {
    "saliency": "saliency: how far the class scores would move, to first order, were the block to do nothing; a share",
    "effective_rank": "effective rank: directions that its features spread over, as a share of the most possible",
    "similarity": "similarity: of what goes out with what comes in (CKA without bias); 1 does nothing",
    "entropy": "entropy: of attention over its keys, as a share of the most; 1 looks at all alike",
}
SHARES = "shares: of the sum over all blocks; empty: the block has no such reading"
PLACES = ("block", "stage", "path", "pattern", "dim")


def show_probes(
    designs: Sequence[tuple[Architecture, Run | None]], *, stream: TextIO | None = None, how: str = "text"
) -> None:
    """Prints the probes of designs.

    What a run recorded stands before what is found now; where a run has nothing of a design, that is said.

    Args:
        designs: Each with the run that it is of, or None.
        stream: Where to; standard output by default.
        how: `text` (a table of blocks and one of stages for each design), `csv` or `json` (a row per block).
    """
    stream = stream or sys.stdout
    rows: list[dict[str, Any]] = []
    for number, (design, run) in enumerate(designs):
        found = [] if run is None else records(run.probes(design.id))
        source = "as found when it was evaluated"
        if not found:
            found = probe_rows(design, probe(design))
            source = "probed now, random weights, smaller images"
            if run is not None:
                print(f"note: {run.path} holds no probes of {design.id}: {_why_none(run, design)}", file=sys.stderr)
        name = design.name or design.id
        if how == "text":
            print("\n" * (number > 0), end="", file=stream)
            _show(found, f"{name} ({design.id}), {source}", stream)
        rows += [{"design": name, "id": design.id, **row} for row in found]
    if how != "text":
        show(rows, stream=stream, how=how)


def stage_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the rows of blocks (see `probe_rows`) come to by stage.

    Shares add up, other readings are means over the blocks that have them. `per_macs` and `per_latency` are the
    saliency's share over that of the cost; `verdict` is `short` where it is SHORT or more, `wasted` where it is at most
    1 / SHORT: by latency where that is known, else by macs.
    """
    found = []
    for stage, members in groupby(rows, key=lambda row: row["stage"]):
        blocks = list(members)
        row: dict[str, Any] = {"stage": stage, "blocks": sum(bool(block["block"]) for block in blocks)}
        for name in dict.fromkeys(name for r in rows for name in r if name in (*LEGEND, *COSTS)):
            values = [block[name] for block in blocks if known(block.get(name))]
            total = sum(values)
            mean = name not in ("saliency", *COSTS)
            row[name] = None if not values else total / len(values) if mean else total
        for cost in ("macs", "latency"):
            share = row.get(f"{cost}_share")
            ratio = row["saliency"] / share if share and row.get("saliency") is not None else None
            row |= {f"per_{cost}": ratio} if f"{cost}_share" in row else {}
        decisive = row.get("per_latency", row.get("per_macs"))
        if decisive is not None:
            row["verdict"] = "short" if decisive >= SHORT else "wasted" if decisive <= 1 / SHORT else ""
        found.append(row)
    return found


def _why_none(run: Run, design: Architecture) -> str:
    status = run.row(design).get("status", "not evaluated")
    if status != "ok":
        return f"it is {status}"
    return f"the generator {run.settings.generator} asked for none, or probing failed (log.txt says so)"


def _show(rows: Sequence[Mapping[str, Any]], title: str, stream: TextIO) -> None:
    held = {name for row in rows for name in row}
    readings = [name for name in (*LEGEND, *COSTS) if name in held]
    columns = [Column.of(name) for name in PLACES] + [_column(name) for name in readings]
    show(rows, columns, stream=stream, title=title, notes=[LEGEND[n] for n in readings if n in LEGEND] + [SHARES])
    by_stage = stage_rows(rows)
    held = {name for row in by_stage for name in row}
    columns = [Column.of("stage"), Column.of("blocks")] + [_column(name) for name in readings]
    columns += [Column(f"per_{c}", f"saliency / {c}", "ratio") for c in ("macs", "latency") if f"per_{c}" in held]
    columns += [Column.of("verdict")] * ("verdict" in held)
    cost = "latency" if "per_latency" in held else "macs"
    rule = (
        f"short: share of saliency at least {SHORT:g} times the share of {cost}; wasted: at most {1 / SHORT:.2f} times"
    )
    print(file=stream)
    show(by_stage, columns, stream=stream, title="By stage", notes=[rule] * ("verdict" in held))


def _column(name: str) -> Column:
    """Shares in percent, other readings with two decimals."""
    heading = f"share of {name.removesuffix('_share')}" if name in COSTS else name.replace("_", " ")
    return Column(name, heading, "share" if name == "saliency" or name in COSTS else "ratio")
