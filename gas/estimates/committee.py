"""Four regressors that look at more or less of a network's structure, and their mean.

Which parts of the structure bear on accuracy in a new family cannot be told from thirty families: the views that come
out best differ with who is left out. So none is chosen; each speaks with the same weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gas.estimates.regressor import Array, Prediction, Regressor, flags, inputs
from gas.estimates.table import Known

SIZES = ("params", "macs")  # of the linear part
COUNTS = (*SIZES, "activations", "depth")
SHAPE = ("macs_stride", "params_stride")
KINDS = ("dense", "grouped", "attention")
WHOLE = (*COUNTS, *SHAPE, *KINDS)
VIEWS = (COUNTS, (*COUNTS, *SHAPE), (*COUNTS, *KINDS), WHOLE)


class Committee:
    """Regressors on the known networks, one per view.

    Args:
        rows: What to fit to.
        views: Smooth inputs of each, see `gas.estimates.regressor.inputs`.
    """

    def __init__(self, rows: Sequence[Known], views: Sequence[Sequence[str]] = VIEWS) -> None:
        structures = [row.structure for row in rows]
        self._views = views
        linear = _linear(structures, [row.recipe for row in rows])
        families, top1 = [row.family for row in rows], np.array([row.top1 for row in rows])
        self._members = [Regressor(linear, inputs(structures, view), families, top1) for view in views]

    def predict(self, structures: Sequence[Mapping[str, float]], recipes: Sequence[str]) -> Prediction:
        """For networks of families that are not known."""
        linear = _linear(structures, recipes)
        parts = zip(self._members, self._views, strict=True)
        return _mean([member.predict(linear, inputs(structures, view)) for member, view in parts])

    def distances(self, structures: Sequence[Mapping[str, float]], families: Sequence[str] | None = None) -> Array:
        """(m, n): how far networks are from the known ones in the last view, see `Regressor.distances`."""
        return self._members[-1].distances(inputs(structures, self._views[-1]), families=families)


def _linear(structures: Sequence[Mapping[str, float]], recipes: Sequence[str]) -> Array:
    return np.hstack([inputs(structures, SIZES), flags(recipes)])


def _mean(parts: Sequence[Prediction]) -> Prediction:
    return Prediction(*(np.mean([getattr(part, end) for part in parts], axis=0) for end in ("top1", "low", "high")))
