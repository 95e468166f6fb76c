"""Every bundled space and design: the formulas equal what is counted on the built module, exactly."""

from __future__ import annotations

import pytest

from gas.costs import cost, traced_count
from gas.space import bundled, load, load_space

SPACES = [name for name in bundled() if not name.startswith("zoo/")]
ZOO = [name for name in bundled() if name.startswith("zoo/")]


@pytest.mark.parametrize("name", ZOO)
def test_a_published_design_counts_as_its_formulas_say(name: str) -> None:
    design = load(name)
    assert traced_count(design).cost == cost(design)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("number", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_random_designs_count_as_their_formulas_say(name: str, number: int) -> None:
    for design in load_space(name).sample(number, seed=number):
        assert traced_count(design).cost == cost(design), design.to_json()


@pytest.mark.parametrize("name", ZOO)
def test_published_figures_hold_within_rounding_or_say_why_not(name: str) -> None:
    published, exact = load_space(name).published, cost(load(name))
    near = abs(exact.params / published["params"] - 1) < 0.005 and abs(exact.macs / published["macs"] - 1) < 0.005
    assert near or published["differs"]
    assert published["source"]
    assert published["verified"]
