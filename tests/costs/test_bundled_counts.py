"""Every bundled space: the formulas equal what is counted on the built module, exactly (tests/zoo has the designs)."""

from __future__ import annotations

import pytest

from gas.costs import cost, traced_count
from gas.space import bundled, load_space

SPACES = [name for name in bundled() if not name.startswith("zoo/")]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("number", [2, pytest.param(300, marks=pytest.mark.slow)])
def test_random_designs_count_as_their_formulas_say(name: str, number: int) -> None:
    # A small space gives some of its designs many times over.
    for design in dict.fromkeys(load_space(name).sample(number, seed=number)):
        assert traced_count(design).cost == cost(design), design.to_json()
