"""A design block by block, as plain rows: what the command line, the model card and the report print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from gas.architecture import Architecture, Spec
from gas.patterns.base import Part, options_of
from gas.plan import Placed, plan


def design_rows(architecture: Architecture) -> list[dict[str, Any]]:
    """One row per part of the design; runs of equal blocks are one row.

    Each row has: `block` ("4-10", empty for stem, entries and head), `count`, `stage`, `path`, `pattern`, `options`
    (words), `dim_in`, `dim_out`, `grid_in`, `grid_out` ((H, W)), `params` and `macs` (of all blocks of the row), and
    `macs_share` (of the design's).

    Raises:
        DesignError: The design cannot be built.
    """
    design = plan(architecture)
    total = design.cost.macs
    rows, number = [], 0
    for _, run in groupby(design.placed, key=_sameness):
        parts = list(run)
        first, count = parts[0], len(parts)
        cost = first.cost * count
        block = ""
        if first.pattern.kind == "block":
            block = str(number) if count == 1 else f"{number}-{number + count - 1}"
            number += count
        rows.append(
            {
                "block": block,
                "count": count,
                "stage": first.stage,
                "path": first.path,
                "pattern": first.pattern.name,
                "options": words(first),
                "dim_in": first.before.dim,
                "dim_out": first.after.dim,
                "grid_in": first.before.grid,
                "grid_out": first.after.grid,
                "params": cost.params,
                "macs": cost.macs,
                "macs_share": cost.macs / total if total else 0.0,
            }
        )
    return rows


def probe_rows(architecture: Architecture, probes: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """One row per block and per entry that has a module: `block` (its number, empty for entries), `stage`, `path`,
    `pattern`, `options` (words), `dim` (that goes out), and its readings by name.

    Args:
        architecture: The design.
        probes: Its readings, as in `Evaluation`.

    Raises:
        ValueError: They are not as many as the design has blocks.
    """
    rows, number = [], 0
    for placed, readings in zip(plan(architecture).blocks, probes, strict=True):
        is_block = placed.pattern.kind == "block"
        row = {"block": str(number) if is_block else "", "stage": placed.stage, "path": placed.path}
        row |= {"pattern": placed.pattern.name, "options": words(placed), "dim": placed.after.dim}
        rows.append(row | {name: value for name, value in readings.items() if name != "stage"})
        number += is_block
    return rows


def words(placed: Placed) -> str:
    """The options in force at a place, in short words: `mask unit attention (2 heads of 64, mask unit 8), ...`."""
    heads = next(_values(placed.part(), "heads"), None)
    settled = placed.settled
    # A width is seen in the row's own columns.
    said = [_value(key, value, placed, heads) for key, value in _worth_saying(settled) if key != "dim"]
    if placed.before.pool > 1:
        said.append(f"Q-pool {placed.before.pool} x {placed.before.pool}")
    if settled != placed.options:
        said.append("lag")
    return ", ".join(said)


def _value(key: str, value: Any, placed: Placed, heads: int | None) -> str:
    if isinstance(value, Spec):
        inner = dict(_worth_saying(options_of(value)))
        said = []
        if inner.keys() & {"heads", "head_dim"} and heads:
            inner = {k: v for k, v in inner.items() if k not in ("heads", "head_dim")}
            said.append(f"{heads} {'head' if heads == 1 else 'heads'} of {placed.after.dim // heads}")
        said += [_value(k, v, placed, heads) for k, v in inner.items()]
        return value.pattern.replace("_", " ") + (f" ({', '.join(said)})" if said else "")
    name = key.replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, tuple):
        return f"{name} {' '.join(map(str, value))}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _worth_saying(options: Any) -> Iterator[tuple[str, Any]]:
    """Options that were set, and of those at their defaults the patterns and the numbers that shape the part."""
    for key, value in options:
        usual = value == type(options).model_fields[key].default
        shapes = isinstance(value, Spec) or (isinstance(value, int | float) and value >= 0.01)
        if value is not None and not (usual and (isinstance(value, bool) or not shapes)):
            yield key, value


def _sameness(placed: Placed) -> tuple:
    """Equal for blocks that stand next to each other and are the same in every way that a row shows."""
    before, after = placed.before, placed.after
    shapes = before.dim, before.grid, after.dim, after.grid
    return placed.path, placed.stage, placed.pattern.name, words(placed), shapes, placed.cost


def _values(part: Any, name: str) -> Iterator[Any]:
    """Arguments called `name` in a Part tree, outermost first."""
    if isinstance(part, list | tuple):
        for inner in part:
            yield from _values(inner, name)
    elif isinstance(part, Part):
        if name in part.args:
            yield part.args[name]
        for value in part.args.values():
            yield from _values(value, name)
