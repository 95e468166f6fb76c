"""An estimate of ImageNet-1k top-1 with its interval, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from gas.architecture import Architecture
from gas.errors import SettingError, describe
from gas.estimates.committee import Committee
from gas.estimates.structure import structure_of
from gas.estimates.table import RECIPES, Known, known, left_out

LEAST_RESOLUTION = 128
MOST_RESOLUTION = 384
ROOM = 2.0  # how many times the largest known network, or what part of the smallest, a design may be
FAR = 3.0  # distance beyond which nothing is said
NEAREST = 3


@dataclass(frozen=True)
class Estimate:
    """What a design would reach on ImageNet-1k, as far as published networks tell.

    Args:
        top1: Percent, the median.
        low: With `high`, the interval that holds 90% of new families where `distance` is up to 1.
        high: See `low`.
        distance: From the nearest known network, where 1 is as far as the farthest known network is from all other
            families. Beyond 1 the interval is that many times as wide, which no known network could be held against.
        recipe: The training it is for, one of `RECIPES`.
        nearest: The known networks nearest to it, nearest first.
        same: Those among the known networks that are equal to it in all counts: it is then in the fit itself.
    """

    top1: float
    low: float
    high: float
    distance: float
    recipe: str
    nearest: tuple[Known, ...]
    same: tuple[Known, ...]

    @property
    def outside(self) -> bool:
        """True where it is farther from the known networks than any that the interval was held against."""
        return self.distance > 1


@dataclass(frozen=True)
class Accuracy:
    """How near estimates come to the known networks, each from those of other families alone.

    Args:
        networks: How many there are.
        families: Of how many families.
        error: Mean absolute error, points.
        kendall: Rank correlation with the published figures.
        coverage: Share of the networks within their interval.
    """

    networks: int
    families: int
    error: float
    kendall: float
    coverage: float


def estimate(design: Architecture, *, recipe: str = "plain") -> Estimate:
    """ImageNet-1k top-1 of a design at its own size, trained by a recipe.

    Raises:
        DesignError: The design cannot stand.
        SettingError: No such recipe.
        ValueError: The design is too unlike all known networks; says in what.
    """
    return estimate_structure(structure_of(design), recipe=recipe)


def estimate_structure(structure: Mapping[str, float], *, recipe: str = "plain") -> Estimate:
    """The same of counts as `gas.estimates.structure` makes them."""
    if recipe not in RECIPES:
        raise SettingError(f"recipe: {describe(recipe, 'one of ' + ', '.join(RECIPES), known=RECIPES)}")
    _refuse_size(structure)
    away = fitted().distances([structure])[0]
    order = np.argsort(away, kind="stable")
    same = tuple(row for row in known() if _equal(row.structure, structure))
    distance = 0.0 if same else float(away[order[0]] / reach())
    if distance > FAR:
        near = known()[order[0]].name
        raise ValueError(
            f"structure: got a design {distance:.1f} times as far from the nearest known network ({near}) as any of "
            f"these is from all other families; expected {FAR:g} times at most"
        )
    found = fitted().predict([structure], [recipe])
    top1, wider = float(found.top1[0]), max(1.0, distance)
    low, high = (top1 + wider * (float(end[0]) - top1) for end in (found.low, found.high))
    return Estimate(top1, max(low, 0.0), min(high, 100.0), distance, recipe, _different(order), same)


@cache
def fitted() -> Committee:
    """The regressors on all known networks; made once per process, in less than a second."""
    return Committee(known())


@cache
def reach() -> float:
    """The distance, in the regressors' units, of the known network that is farthest from all other families."""
    structures, families = [row.structure for row in known()], [row.family for row in known()]
    return float(fitted().distances(structures, families).min(axis=1).max())


@cache
def accuracy() -> Accuracy:
    """How near estimates come to families that they have not seen, everything fitted anew without each."""
    from scipy.stats import kendalltau

    rows = known()
    said = [left_out()[row.name] for row in rows]
    inside = [one.low <= row.top1 <= one.high for row, one in zip(rows, said, strict=True)]
    top1, found = np.array([row.top1 for row in rows]), np.array([one.top1 for one in said])
    families, kendall = len({row.family for row in rows}), float(kendalltau(found, top1)[0])
    return Accuracy(len(rows), families, float(np.abs(found - top1).mean()), kendall, float(np.mean(inside)))


def _refuse_size(structure: Mapping[str, float]) -> None:
    side = structure["resolution"]
    if not LEAST_RESOLUTION <= side <= MOST_RESOLUTION:
        raise ValueError(f"resolution: got {side:.0f} pixels; expected {LEAST_RESOLUTION} to {MOST_RESOLUTION}")
    for name in ("macs", "params"):
        values = [row.structure[name] for row in known()]
        low, high = min(values) / ROOM, max(values) * ROOM
        if not low <= structure[name] <= high:
            unit, per = ("G", 1e9) if name == "macs" else ("M", 1e6)
            expected = f"{low / per:.2g}{unit} to {high / per:.3g}{unit}, within {ROOM:g} times of the known networks"
            raise ValueError(f"{name}: got {structure[name] / per:.4g}{unit}; expected {expected}")
    if structure["activations"] <= 0 or structure["depth"] <= 0:
        raise ValueError("depth: got no layer that sees more than one place; expected one at least")


def _different(order: Sequence[int]) -> tuple[Known, ...]:
    """The first known networks in an order, each once, whatever recipes it was trained with."""
    found: list[Known] = []
    for row in (known()[index] for index in order):
        if len(found) < NEAREST and not any(_equal(row.structure, other.structure) for other in found):
            found.append(row)
    return tuple(found)


def _equal(left: Mapping[str, float], right: Mapping[str, float]) -> bool:
    return all(abs(value - right[name]) <= 1e-5 * max(1.0, abs(value)) for name, value in left.items())
