"""The designs of the zoo in print: what each costs by our count, what was published, how it was checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gas.errors import UnknownNameError, describe
from gas.plan import plan
from gas.report.tables import Column
from gas.space import bundled, load_space

SORTS = ("name", "params", "macs", "top1")
FIGURES = ("params", "macs", "top1")
COLUMNS = (
    Column.of("name"),
    Column.of("params"),
    Column.of("macs"),
    Column("top1", "top-1 (%)", "points"),
    Column.of("distilled"),
    Column("resolution", "input"),
    Column.of("checked"),
    Column("looked_up", "looked up"),
    Column("code", "public code"),
)
NOTES = (
    "params, macs: our count; top-1: published, ImageNet-1k; looked up: published figures that were read at a source",
    "checked by the tests: outputs against the public code's, or costs against a table worked out by hand",
    "--json and --csv hold the published params and macs too, with sources and what differs",
)


def zoo_rows(part: str = "", *, sort: str = "name") -> list[dict[str, Any]]:
    """One row per design of the zoo; nothing is built.

    Args:
        part: What the name must hold (`efficientvit`, `zoo/hiera_tiny`); empty for all.
        sort: One of SORTS; `name` keeps families together. What has no such figure comes last.

    Returns:
        Rows with `name`, `params` and `macs` (our count), `top1`, `distilled`, `resolution`, `checked`, `verified`,
        `code`, `params_published`, `macs_published`, `differs`, `source`, `about` and `file`; None where not known.

    Raises:
        UnknownNameError: No design has such a name; says the nearest.
    """
    names = [name for name in bundled() if name.startswith("zoo/")]
    wanted = part.removesuffix(".yaml").removeprefix("zoo/")
    chosen = [name for name in names if wanted.lower() in name.removeprefix("zoo/")]
    if not chosen:
        plain = [name.removeprefix("zoo/") for name in names]
        families = dict.fromkeys(name.partition("_")[0] for name in plain)
        known = [*families, *plain]
        raise UnknownNameError(f"zoo: {describe(wanted, 'a name of the zoo or a part of one', known=known)}")
    rows = [_row(name) for name in chosen]
    if sort == "name":
        return sorted(rows, key=lambda row: row["name"].partition("_"))
    return sorted(rows, key=lambda row: (row[sort] is None, row[sort], row["name"]))


def printed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as people read them: words for yes and no, and which figures were looked up."""
    return [
        {**row, "distilled": {True: "yes", False: "no"}.get(row["distilled"]), "looked_up": _looked_up(row["verified"])}
        for row in rows
    ]


def _row(name: str) -> dict[str, Any]:
    space = load_space(name)
    design = space.realise(lambda decision, allowed: allowed[0], feasible=False).architecture
    cost, published = plan(design).cost, space.published
    return {
        "name": name.removeprefix("zoo/"),
        "params": cost.params,
        "macs": cost.macs,
        "top1": published.get("top1"),
        "distilled": published.get("distilled"),
        "resolution": design.resolution,
        "checked": published.get("checked", "no"),
        "verified": published.get("verified"),
        "code": published.get("code"),
        "params_published": published.get("params"),
        "macs_published": published.get("macs"),
        "differs": published.get("differs"),
        "source": published.get("source"),
        "about": space.about,
        "file": space.document.file,
    }


def _looked_up(verified: str | None) -> str:
    """`params, macs` and the like; `in part` where it takes the file's own words to say."""
    if not verified or verified == "unverified":
        return "no"
    found = [word for word in (part.strip() for part in verified.split(",")) if word in FIGURES]
    return ", ".join("top-1" if word == "top1" else word for word in found) or "in part"
