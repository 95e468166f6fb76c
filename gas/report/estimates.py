"""Estimates of ImageNet top-1 in print, each with its interval and the known networks nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from gas.architecture import Architecture
from gas.errors import DesignError
from gas.estimates import Estimate, accuracy, estimate, left_out
from gas.report.tables import Column, show

TRAININGS = {
    "plain": "a plain training on ImageNet-1k (some 300 epochs from scratch, no teacher)",
    "distilled": "a training on ImageNet-1k with a teacher (distilled)",
}
COLUMNS = (
    Column.of("design"),
    Column("top1_estimate", "top-1, estimated (%)", "points"),
    Column("interval", "90% interval"),
    Column("distance", "distance", "ratio"),
    Column("published_top1", "published", "points"),
    Column.of("remark"),
    Column("nearest", "nearest known networks (top-1)"),
)


def show_estimates(
    designs: Sequence[Architecture], *, distilled: bool = False, stream: TextIO | None = None, how: str = "text"
) -> None:
    """Prints estimates of designs.

    Args:
        designs: What to estimate.
        distilled: For a training with a teacher, not for a plain one.
        stream: Where to; standard output by default.
        how: `text`, `csv` or `json`.

    Raises:
        DesignError: There is an estimate for none of them.
    """
    recipe = "distilled" if distilled else "plain"
    rows = estimate_rows(designs, recipe=recipe)
    if all(row["top1_estimate"] is None for row in rows):
        raise DesignError("", "\n".join(f"{row['design']}: {row['reason']}" for row in rows))
    if how != "text":
        show(rows, stream=stream, how=how)
        return
    show([_printed(row) for row in rows], COLUMNS, stream=stream, notes=_notes(rows, recipe))


def estimate_rows(designs: Sequence[Architecture], *, recipe: str = "plain") -> list[dict[str, Any]]:
    """One row per design.

    Returns:
        Rows with `design`, `id`, `recipe`, `top1_estimate`, `low`, `high`, `distance`, `outside` (True: the interval
        could be held against nothing so far off), `nearest` (names and published top-1), `in_fit` (True: the estimate
        was fitted to this very network), `published_top1` and `published_recipe` (for that recipe where it is known,
        else another), `left_out_top1` (the estimate of that network and recipe by a fit without its family), and
        `reason`: why there is no estimate, where all others are None.
    """
    return [_row(design, recipe) for design in designs]


def _row(design: Architecture, recipe: str) -> dict[str, Any]:
    row: dict[str, Any] = {"design": design.name or design.id, "id": design.id, "recipe": recipe}
    try:
        found = estimate(design, recipe=recipe)
    except ValueError as error:
        return row | dict.fromkeys(_figures(None, recipe)) | {"reason": str(error)}
    return row | _figures(found, recipe) | {"reason": None}


def _figures(found: Estimate | None, recipe: str) -> dict[str, Any]:
    if found is None:
        names = ("top1_estimate", "low", "high", "distance", "outside", "nearest", "in_fit")
        return dict.fromkeys((*names, "published_top1", "published_recipe", "left_out_top1"))
    same = sorted(found.same, key=lambda row: row.recipe != recipe)
    return {
        "top1_estimate": found.top1,
        "low": found.low,
        "high": found.high,
        "distance": found.distance,
        "outside": found.outside,
        "nearest": [{"name": row.name, "recipe": row.recipe, "top1": row.top1} for row in found.nearest],
        "in_fit": bool(same),
        "published_top1": same[0].top1 if same else None,
        "published_recipe": same[0].recipe if same else None,
        "left_out_top1": left_out()[same[0].name].top1 if same else None,
    }


def _printed(row: dict[str, Any]) -> dict[str, Any]:
    if row["top1_estimate"] is None:
        return row | {"remark": "none, see below"}
    remarks = ["outside"] * row["outside"]
    if row["in_fit"]:
        other = row["published_recipe"] != row["recipe"]
        remarks.append(f"in the fit ({row['published_recipe']})" if other else "in the fit")
        remarks.append(f"left out: {row['left_out_top1']:.1f}")
    nearest = ", ".join(f"{one['name']} ({one['top1']:.1f})" for one in row["nearest"])
    interval = f"{row['low']:.1f} to {row['high']:.1f}"
    return row | {"interval": interval, "remark": ", ".join(remarks), "nearest": nearest}


def _notes(rows: Sequence[dict[str, Any]], recipe: str) -> list[str]:
    held = accuracy()
    notes = [
        f"estimated, not measured, for {TRAININGS[recipe]}",
        f"of {held.networks} published networks, each left out with its family ({held.families}): mean absolute error "
        f"{held.error:.2f} points, Kendall {held.kendall:.2f}, {held.coverage:.0%} within their 90% interval",
        "distance: from the nearest known network; 1 is the farthest that one of these is from all other families",
    ]
    if any(row["outside"] for row in rows):
        notes.append("outside: no known network is so far off, so the wider interval could be held against nothing")
    if any(row["in_fit"] for row in rows):
        notes.append(
            "in the fit: fitted to this network's published figure, so that they agree shows nothing; left out: what a "
            "fit that knew nothing of its family said of that figure"
        )
    return notes + [f"{row['design']}: no estimate: {row['reason']}" for row in rows if row["reason"]]
