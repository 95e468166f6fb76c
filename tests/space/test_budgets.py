from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gas.architecture import Architecture, Spec
from gas.errors import SettingError, SpaceError
from gas.generators import GENERATORS
from gas.generators import create as create_generator
from gas.patterns import Flow
from gas.plan import place, plan
from gas.space import SearchSpace, load_space, space_from_text
from gas.space.budgets import Budgets

TIMES = {"conv_embed": 1.0, "classifier": 0.25}


def price(spec: Spec, flow: Flow) -> float:
    """A cost that neither macs nor params tell: what a part has of tokens, more for some patterns."""
    after = place(spec, flow)[2]
    return TIMES.get(spec.pattern, 1.0) * (0.3 + after.tokens / 64 + (dict(spec.items).get("mixer") is not None))


def priced(design: Architecture) -> float:
    """The same by the plan."""
    return math.fsum(price(placed.spec, placed.came) for placed in plan(design).placed)


@cache
def tiny() -> SearchSpace:
    """tiny.yaml with fewer widths, so that all of its designs are soon written out."""
    text = load_space("tiny.yaml").document.text
    for choices, fewer in (
        ("[16, 24, 32]", "[16, 32]"),
        ("[16, 24, 32, 48]", "[16, 32]"),
        ("[32, 48, 64, 96]", "[32, 64]"),
    ):
        assert choices in text
        text = text.replace(choices, fewer)
    return space_from_text(text)


def walk(path: list[int]) -> tuple[Architecture, list[tuple[int, int]]]:
    """The design that a list of choices leads to (the first one where it ends), and (choice, choices) on the way."""
    taken: list[tuple[int, int]] = []

    def choose(decision: object, allowed: tuple) -> object:
        taken.append((path[len(taken)] if len(taken) < len(path) else 0, len(allowed)))
        return allowed[taken[-1][0]]

    return tiny().realise(choose).architecture, taken


@cache
def everything() -> list[tuple[Architecture, float, float, float]]:
    """Every design within the bounds on macs and params: (design, macs, params, price)."""
    found, path = [], []
    while True:  # the choices are counted up like the digits of a number
        design, taken = walk(path)
        exact = plan(design).cost
        found.append((design, exact.macs, exact.params, priced(design)))
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return found
        path = [index for index, _ in taken[:-1]] + [taken[-1][0] + 1]


def test_a_priced_bound_leaves_exactly_the_designs_within_it() -> None:
    rows = everything()
    prices = np.array([row[3] for row in rows])
    for share in (0.001, 0.2, 0.9):
        limit = float(np.quantile(prices, share))
        space = tiny().priced("time", price, high=limit)
        wanted = {row[0].id for row, p in zip(rows, prices, strict=True) if p <= limit}
        drawn = {d.id for d in space.sample(600, 1, feasible=True)}
        assert drawn <= wanted
        assert len(drawn) > min(len(wanted), 600) / 3


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 1.0), st.floats(0.0, 0.9), st.integers(0, 2**32 - 1))
def test_no_choice_leads_into_a_dead_end(share: float, width: float, seed: int) -> None:
    prices = np.array([row[3] for row in everything()])
    high = float(np.quantile(prices, share))
    low = float(np.quantile(prices, share * width))
    space = tiny().priced("time", price, low=low * (1 - 1e-9), high=high * (1 + 1e-9))
    rng = np.random.default_rng(seed)
    for _ in range(20):  # whatever is chosen, the walk ends within all bounds
        design = space.realise(lambda decision, allowed: allowed[rng.integers(len(allowed))]).architecture
        assert low * (1 - 1e-6) <= priced(design) <= high * (1 + 1e-6)
        assert plan(design).cost.params <= 500_000
        assert plan(design).cost.macs <= 5_000_000


def test_what_may_be_chosen_first_is_what_some_design_within_the_bounds_has() -> None:
    limit = float(np.quantile([row[3] for row in everything()], 0.05))
    space = tiny().priced("time", price, high=limit)
    first: list[tuple] = []
    space.realise(lambda decision, allowed: first.append(allowed) or allowed[0])
    stems = {row[0].stem.options["dim"] for row in everything() if row[3] <= limit}
    assert set(first[0]) == stems


def test_the_ends_are_those_of_the_designs_within_the_other_bounds() -> None:
    rows = everything()
    budgets = tiny().priced("time", price, high=1e6)._budgets
    for column, metric in ((1, "macs"), (2, "params"), (3, "time")):
        # Bounds on the others hold for all of these designs; this one's own are left aside.
        values = [row[column] for row in rows]
        assert budgets.extreme(metric, 1) == pytest.approx(min(values))
    assert budgets.extreme("time", -1) == pytest.approx(max(row[3] for row in rows))


def test_an_impossible_price_names_the_ends() -> None:
    least, most = (f"{end(row[3] for row in everything()):.6g}" for end in (min, max))
    for bounds in ({"high": 0.5}, {"low": 1e6}):
        with pytest.raises(
            SettingError, match=f"constraints.time: got .*; expected bounds that meet {least} to {most}"
        ):
            tiny().priced("time", price, **bounds)


def test_the_space_itself_stays_as_it_was() -> None:
    before = [d.id for d in tiny().sample(20, 3, feasible=True)]
    space = tiny().priced("time", price, high=float(np.quantile([row[3] for row in everything()], 0.1)))
    assert (
        [d.id for d in tiny().sample(20, 3, feasible=True)]
        == before
        != [d.id for d in space.sample(20, 3, feasible=True)]
    )
    assert "time" not in {c.metric for c in tiny().constraints}
    assert space.size() == tiny().size()
    again = space.priced("time", price, high=1e9)
    assert [d.id for d in again.sample(20, 3, feasible=True)] == before


@pytest.mark.parametrize("name", sorted(GENERATORS.names()))
def test_every_generator_keeps_to_a_priced_bound(name: str) -> None:
    limit = float(np.quantile([row[3] for row in everything()], 0.05))
    space = tiny().priced("time", price, high=limit)
    generator = create_generator(name, space, tiny().objectives, 0)
    for candidate in itertools.islice(generator.ask(12), 12):
        assert priced(candidate.architecture) <= limit * (1 + 1e-9)


def test_bounds_that_clash_say_what_each_could_be() -> None:
    text = (
        load_space("tiny.yaml")
        .document.text.replace("params: {max: 500k}", "params: {max: 45k}")
        .replace("{max: 5M}", "{min: 14M}")
    )
    with pytest.raises(SpaceError, match=r"each can be met alone, but no design meets .*; within the others params is"):
        space_from_text(text)


def test_without_bounds_nothing_is_refused() -> None:
    text = tiny().document.text
    space = space_from_text(text[: text.index("constraints:")])
    budgets = Budgets.of(space._chain, (), {})
    assert budgets.possible
    assert len(space.sample(5, 0, feasible=True)) == 5
