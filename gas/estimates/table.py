"""The networks that estimates are fitted to: what they are in numbers, and the top-1 that was published."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

RECIPES = ("plain", "long", "distilled", "pretrained")
"""How a network was trained on ImageNet-1k: some 300 epochs from scratch; much longer; with a teacher; after
self-supervised pre-training on the same images."""
PLACES = ("name", "family", "recipe", "top1", "zoo", "source")


@dataclass(frozen=True)
class Known:
    """A network with its published figure.

    Args:
        name: Its name; a second recipe says so behind it.
        family: Networks of one family are left out together when the fit is checked.
        recipe: One of RECIPES.
        top1: ImageNet-1k validation top-1, percent.
        zoo: The design of the zoo that it is; empty where there is none.
        source: Where the figure stands.
        structure: See `gas.estimates.structure`.
    """

    name: str
    family: str
    recipe: str
    top1: float
    zoo: str
    source: str
    structure: Mapping[str, float]


@dataclass(frozen=True)
class LeftOut:
    """What was said of a known network by a fit that had seen none of its family.

    Args:
        top1: The estimate, percent.
        low: Of its interval.
        high: Of its interval.
    """

    top1: float
    low: float
    high: float


@cache
def known() -> tuple[Known, ...]:
    """The rows of table.csv, which experiments/imagenet_estimate/table.py writes."""
    rows = []
    for row in _read("table.csv"):
        told = {place: row.pop(place) for place in PLACES}
        structure = {name: float(value) for name, value in row.items()}
        rows.append(Known(**{**told, "top1": float(told["top1"])}, structure=structure))
    return tuple(rows)


@cache
def left_out() -> dict[str, LeftOut]:
    """By name; the rows of left_out.csv, which experiments/imagenet_estimate/choose.py writes."""
    return {
        row["name"]: LeftOut(*(float(row[end]) for end in ("top1", "low", "high"))) for row in _read("left_out.csv")
    }


def _read(name: str) -> list[dict[str, str]]:
    text = (importlib.resources.files("gas.estimates") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
