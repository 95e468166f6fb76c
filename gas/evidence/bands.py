"""Bands of nearly equal cost: designs in one band are compared with one another alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gas.errors import SettingError, describe
from gas.evaluation import Constraint
from gas.space import SearchSpace

COSTS = ("macs", "params")
NARROW = 1.25  # greatest over least: what is nearer together than this counts as equal
BANDS = 3  # where the costs differ by more
LOOK = 2048  # designs drawn to find the median of a space
_SUFFIX = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

Bands = int | Sequence[float] | None
"""A number of bands with equally many designs; edges between bands; or None: one band where all costs lie within a
quarter, else three."""


def bands_of(costs: ArrayLike, bands: Bands = None) -> NDArray[np.int64]:
    """(n,) number of each design's band, from 0; equal costs are never in two bands.

    Args:
        costs: (n,) macs.
        bands: See `Bands`. What equals an edge belongs to the band above it.

    Raises:
        SettingError: Less than one band, or edges that do not rise.
    """
    costs = np.asarray(costs, dtype=float)
    if bands is None:
        bands = 1 if costs.max() <= NARROW * costs.min() else BANDS
    if isinstance(bands, int):
        if bands < 1:
            raise SettingError(f"bands: {describe(bands, 'a number of bands from 1, or the edges between them')}")
        edges = np.quantile(costs, np.arange(1, bands) / bands)
    else:
        edges = np.asarray(bands, dtype=float)
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise SettingError(f"bands: {describe(list(bands), 'edges that rise')}")
    return np.searchsorted(edges, costs, side="right")


def read_bands(text: str | None) -> Bands:
    """`3` -> three bands; `1G,2.5G,6G` -> edges; None -> None. SettingError for anything else."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    expected = "a number of bands, or edges such as 1G,2.5G"
    if len(parts) == 1 and parts[0].isdigit() and int(parts[0]) <= 100:
        count = int(parts[0])
        bands_of([1.0], count)
        return count
    edges = [_quantity(part) for part in parts]
    if any(edge is None for edge in edges):
        raise SettingError(f"bands: {describe(text, expected)}")
    bands_of([1.0], edges)
    return edges


def narrowed(space: SearchSpace, band: str, seed: int = 0) -> SearchSpace:
    """The space with one cost held within a band.

    Args:
        space: A space.
        band: `macs=0.1` for a tenth to either side of the median of designs drawn from it, or `macs=2.7M..3.3M`; of
            macs or params.
        seed: Of the drawing.

    Raises:
        SettingError: The text says no band.
        SpaceError: No design of the space lies within it.
    """
    name, _, text = (part.strip() for part in band.partition("="))
    if name not in COSTS:
        raise SettingError(f"band: {describe(name, 'macs or params, as in macs=0.1', known=COSTS)}")
    low, dots, high = text.partition("..")
    ends = [_quantity(part) for part in ((low, high) if dots else (text,))]
    if any(end is None for end in ends) or (dots and not ends[0] <= ends[1]) or (not dots and not 0 < ends[0] < 1):
        raise SettingError(f"band: {describe(band, f'{name}=0.1 or {name}=2.7M..3.3M')}")
    if not dots:
        middle = float(np.median(getattr(space.sample_feasible(LOOK, seed), name)))
        ends = [middle * (1 - ends[0]), middle * (1 + ends[0])]
    bound = Constraint(name, math.ceil(ends[0]), math.floor(ends[1]))
    for other in space.constraints:
        if other.metric == name and not other.of:
            bound = Constraint(name, max(bound.low, other.low), min(bound.high, other.high))
    others = [c for c in space.constraints if c.metric != name or c.of]
    return SearchSpace(space.document, [*others, bound], space.references)


def _quantity(text: str) -> float | None:
    """`2.7M` -> 2,700,000; None for what is no number above 0."""
    text = text.strip()
    scale = _SUFFIX.get(text[-1:], 1.0)
    try:
        value = float(text[:-1] if text[-1:] in _SUFFIX else text) * scale
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
