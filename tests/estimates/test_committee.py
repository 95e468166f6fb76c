"""The committee is the mean of its regressors, made here one by one."""

from __future__ import annotations

import numpy as np
import pytest

from gas.estimates import known
from gas.estimates.committee import COUNTS, KINDS, SHAPE, SIZES, VIEWS, Committee
from gas.estimates.regressor import Regressor, flags, inputs


def test_the_views_are_all_four_of_shape_and_kinds() -> None:
    assert {frozenset(view) for view in VIEWS} == {
        frozenset((*COUNTS, *shape, *kinds)) for shape in ((), SHAPE) for kinds in ((), KINDS)
    }


def test_it_says_the_mean_of_what_its_members_say() -> None:
    rows = known()[:60]
    structures, asked = [row.structure for row in rows], [row.structure for row in known()[60:64]]
    recipes = ["plain", "distilled", "plain", "long"]
    linear = np.hstack([inputs(structures, SIZES), flags([row.recipe for row in rows])])
    families, top1 = [row.family for row in rows], np.array([row.top1 for row in rows])
    said = []
    for view in VIEWS:
        fit = Regressor(linear, inputs(structures, view), families, top1)
        said.append(fit.predict(np.hstack([inputs(asked, SIZES), flags(recipes)]), inputs(asked, view)))
    found = Committee(rows).predict(asked, recipes)
    for end in ("top1", "low", "high"):
        assert getattr(found, end) == pytest.approx(sum(getattr(one, end) for one in said) / 4)
