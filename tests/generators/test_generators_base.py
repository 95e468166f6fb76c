"""The contract that every registered generator keeps."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from generators.stand_in import OBJECTIVES, Decision, StandIn, architecture_of, evaluate, search, stand_in

from gas.architecture import Architecture
from gas.errors import SettingError, UnknownNameError
from gas.generators import GENERATORS, Generator, create
from gas.generators._walks import Sweep, nearest_allowed
from gas.pareto import hypervolume
from gas.plan import plan
from gas.testing import GENERATOR_CHECKS, check_generator

NAMES = GENERATORS.names()
SMALL = {"dims": (16,), "depths": (1,)}


def _make(name: str, seed: int = 0, **options: object) -> Generator:
    return create(name, stand_in(), OBJECTIVES, seed, **options)


def test_the_generators_are_registered() -> None:
    assert {"random", "evolution", "tpe", "nsga2", "inquisitor"} <= set(NAMES)


@pytest.mark.parametrize("check", GENERATOR_CHECKS)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, check: str) -> None:
    check_generator(name, check)
    # And on a space that allows and decides by another route.
    check_generator(name, check, space=stand_in(), small=stand_in(**SMALL))


def test_a_second_tell_is_named() -> None:
    generator = _make("random")
    (candidate,) = generator.ask(1)
    generator.tell(evaluate(candidate))
    with pytest.raises(ValueError, match=r"candidate 0 .* has not been told"):
        generator.tell(evaluate(candidate))


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_what_their_decisions_say(name: str) -> None:
    for candidate in (e.candidate for e in search(_make(name), 60)):
        assert candidate.architecture == architecture_of(dict(candidate.decisions))
        assert plan(candidate.architecture).cost.macs <= stand_in().max_macs
        branch = candidate.decisions["stages[0].mixer"] == "mask_unit_attention"
        assert ("stages[0].mixer.mask_unit" in candidate.decisions) == branch


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_beats_random_on_a_fixed_problem(name: str) -> None:
    budget = 60 if name in ("inquisitor", "tpe") else 120  # these need fewer, and take longer over each

    def volume(generator_name: str, seed: int) -> float:
        generator = _make(generator_name, seed)
        losses = np.array([generator.losses(e) for e in search(generator, budget)])
        return hypervolume(losses / [1.0, stand_in().max_macs], [0.0, 1.0])

    ours, randoms = ([volume(n, seed) for seed in range(5)] for n in (name, "random"))
    assert np.mean(ours) > np.mean(randoms) + 0.02, (ours, randoms)
    assert sum(a > b for a, b in zip(ours, randoms, strict=True)) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_says_nothing_and_leaves_logging_alone(name: str, capfd: pytest.CaptureFixture, caplog: object) -> None:
    levels = logging.getLogger().level, logging.getLogger("optuna").level
    search(_make(name), 30)
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger().level, logging.getLogger("optuna").level) == levels


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("evolution", {"populaton": 3}, r"generator evolution: got 'populaton'; .*; did you mean 'population'"),
        ("random", {"population": 3}, r"generator random: got 'population'; expected no options"),
        ("evolution", {"population": 1}, r"evolution.population: got 1; expected a whole number, at least 2"),
        ("evolution", {"start": 2.5}, r"evolution.start: got 2.5; expected a whole number, at least 0"),
        ("evolution", {"crossover": 1.5}, r"evolution.crossover: got 1.5; expected a number, between 0 and 1"),
        ("evolution", {"mutation": "x"}, r"evolution.mutation: got 'x'; expected a number, at least 0"),
        ("tpe", {"start": 0}, r"tpe.start: got 0; expected a whole number, at least 1"),
        ("nsga2", {"population": True}, r"nsga2.population: got True; expected a whole number, at least 2"),
    ],
)
def test_bad_options_are_named(name: str, options: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        _make(name, **options)


def test_unknown_generator_and_no_objectives() -> None:
    with pytest.raises(UnknownNameError, match=r"generator: got 'evolutoin'.*did you mean 'evolution'"):
        create("evolutoin", stand_in(), OBJECTIVES, 0)
    with pytest.raises(SettingError, match="objectives: got none"):
        create("random", stand_in(), (), 0)


def test_the_sweep_meets_every_design_once() -> None:
    space, seen = stand_in(**SMALL), []
    sweep = Sweep(space)
    while (realised := sweep.next()) is not None:
        seen.append(realised.architecture.id)
    assert len(seen) == len(set(seen)) == space.size()
    assert sweep.next() is None


def test_a_space_of_one_design_gives_it_once() -> None:
    class One(StandIn):
        def realise(self, choose: object, *, feasible: bool = True) -> object:
            realised = stand_in(**SMALL).realise(lambda decision, allowed: allowed[0])
            return type(realised)(realised.architecture, {})

    generator = create("random", One(**SMALL), OBJECTIVES, 0)
    (candidate,) = generator.ask(4)
    assert isinstance(candidate.architecture, Architecture)
    assert generator.exhausted


def test_nearest_allowed_follows_the_order_where_there_is_one() -> None:
    rng = random.Random(0)
    widths = Decision("dim", (16, 32, 64, 128), ordered=True)
    assert nearest_allowed(widths, 64, (16, 64), rng) == 64
    assert nearest_allowed(widths, 128, (16, 32), rng) == 32
    assert {nearest_allowed(widths, 32, (16, 64), rng) for _ in range(40)} == {16, 64}
    kinds = Decision("mixer", ("a", "b", "c"), ordered=False)
    assert {nearest_allowed(kinds, "a", ("b", "c"), rng) for _ in range(40)} == {"b", "c"}
