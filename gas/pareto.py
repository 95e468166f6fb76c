"""Pareto arithmetic on (n, m) arrays in which every column is to be made small.

Thin names over `moocore`, with one policy for what it does not cover: a row with NaN is dominated by every row
without, dominates nothing, and adds no hypervolume; equal rows are all kept.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """(n, m) losses -> (n,) mask of the rows that no other row dominates (all of equal rows are kept)."""
    points, known = _rows(losses)
    mask = np.zeros(len(points), dtype=bool)
    if known.any():
        mask[known] = moocore.is_nondominated(points[known], keep_weakly=True)
    return mask


def ranks(losses: ArrayLike) -> NDArray[np.int64]:
    """(n, m) losses -> (n,) front number: 0 for the non-dominated rows, 1 for those behind only them, ...

    Source: Deb et al., NSGA-II, IEEE TEC 6(2), 2002, section III-A. Rows with NaN come last, together.
    """
    points, known = _rows(losses)
    result = np.zeros(len(points), dtype=np.int64)
    if known.any():
        # moocore ranks equal rows apart from one another only by dominance, so equal rows share a front.
        result[known] = moocore.pareto_rank(points[known])
    result[~known] = result[known].max(initial=-1) + 1
    return result


def crowding(losses: ArrayLike) -> NDArray[np.float64]:
    """(n, m) losses of one front -> (n,) crowding distance; rows at the end of any column get infinity.

    Source: Deb et al., NSGA-II, section III-B. Differs: a column without spread adds nothing (0/0 in the paper).
    """
    points, known = _rows(losses)
    distance = np.zeros(len(points))
    rows = np.flatnonzero(known)
    for column in points[rows].T if len(rows) else ():
        order = rows[np.argsort(column, kind="stable")]
        spread = column.max() - column.min()
        if spread <= 0:
            continue
        ordered = np.sort(column)
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (ordered[2:] - ordered[:-2]) / spread
    return distance


def hypervolume(losses: ArrayLike, reference: ArrayLike) -> float:
    """Volume that the (n, m) losses dominate below the (m,) reference point; 0 for no rows."""
    points, known = _rows(losses)
    point = np.asarray(reference, dtype=float)
    inside = points[known & (points < point).all(axis=1)] if len(points) else points
    return float(moocore.hypervolume(inside, ref=point)) if len(inside) else 0.0


def knee(losses: ArrayLike) -> int:
    """Index of the row of a front that lies farthest on the good side of the plane through the ends.

    Columns are scaled to the front's own range; distance is measured along (1, ..., 1), so the knee is the row with
    the least sum of scaled losses. Equal sums: the first row.
    Source: Das, "On characterizing the knee of the Pareto curve", Structural Optimization 18, 1999.
    """
    points, known = _rows(losses)
    if not known.any():
        raise ValueError("a front without complete rows has no knee")
    low, high = points[known].min(axis=0), points[known].max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    return int(np.argmin(np.where(known, scaled.sum(axis=1), np.inf)))


def _rows(losses: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    points = np.asarray(losses, dtype=float)
    if points.ndim != 2:
        points = points.reshape(len(points), -1) if points.size else points.reshape(0, 1)
    return points, ~np.isnan(points).any(axis=1)
