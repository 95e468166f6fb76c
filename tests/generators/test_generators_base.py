"""The contract that every registered generator keeps."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from generators.stand_in import OBJECTIVES, Decision, StandIn, architecture_of, evaluate, search, stand_in

from gas.architecture import Architecture
from gas.errors import SettingError, UnknownNameError
from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.generators import GENERATORS, Generator, create
from gas.generators._walks import Sweep, nearest_allowed
from gas.pareto import hypervolume
from gas.plan import plan

NAMES = GENERATORS.names()
SMALL = {"dims": (16,), "depths": (1,)}


def _make(name: str, seed: int = 0, **options: object) -> Generator:
    return create(name, stand_in(), OBJECTIVES, seed, **options)


def _told(generator: Generator, asked: list[Candidate], order: random.Random) -> list[Evaluation]:
    """All candidates in a mixed order and with mixed fates, told."""
    evaluations = []
    for candidate in order.sample(asked, len(asked)):
        status = order.choice([Status.OK, Status.OK, Status.OK, Status.FAILED, Status.INFEASIBLE, Status.DUPLICATE])
        evaluations.append(evaluate(candidate, status))
        generator.tell(evaluations[-1])
    return evaluations


def test_the_four_generators_are_registered() -> None:
    assert {"random", "evolution", "tpe", "nsga2"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_numbered_new_and_what_their_decisions_say(name: str) -> None:
    evaluations = search(_make(name), 60)
    candidates = [e.candidate for e in evaluations]
    assert [c.number for c in candidates] == list(range(60))
    assert len({c.architecture.id for c in candidates}) == 60
    for candidate in candidates:
        assert candidate.origin
        assert candidate.architecture == architecture_of(dict(candidate.decisions))
        assert plan(candidate.architecture).cost.macs <= stand_in().max_macs
        branch = candidate.decisions["stages[0].mixer"] == "mask_unit_attention"
        assert ("stages[0].mixer.mask_unit" in candidate.decisions) == branch


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_candidates_other_seed_others(name: str) -> None:
    first, again, other = (search(_make(name, seed), 40) for seed in (1, 1, 2))
    assert [e.candidate for e in first] == [e.candidate for e in again]
    assert [e.candidate for e in first] != [e.candidate for e in other]


@pytest.mark.parametrize("name", NAMES)
def test_repeating_asks_and_tells_restores_the_state(name: str) -> None:
    order, history = random.Random(3), []
    unbroken = _make(name, 7)
    waiting: list[Candidate] = []
    for _ in range(12):
        n = order.randrange(1, 5)
        waiting += unbroken.ask(n)
        now = [c for c in waiting if order.random() < 0.6]
        waiting = [c for c in waiting if c not in now]
        history.append((n, _told(unbroken, now, order)))
    resumed = _make(name, 7)
    for n, evaluations in history:
        resumed.ask(n)
        for evaluation in evaluations:
            resumed.tell(evaluation)
    assert resumed.ask(10) == unbroken.ask(10)
    assert waiting, "some candidates were out when the search was broken off"


@pytest.mark.parametrize("name", NAMES)
def test_evaluations_may_come_late_and_in_any_order(name: str) -> None:
    generator, order = _make(name), random.Random(0)
    early = generator.ask(10)
    ids = {c.architecture.id for c in early}
    for _ in range(8):
        batch = generator.ask(5)
        ids |= {c.architecture.id for c in batch}
        _told(generator, batch, order)
    _told(generator, early, order)
    ids |= {c.architecture.id for c in generator.ask(5)}
    assert len(ids) == 55


@pytest.mark.parametrize("status", [Status.FAILED, Status.INFEASIBLE, Status.DUPLICATE])
@pytest.mark.parametrize("name", NAMES)
def test_a_generator_stays_lively_when_nothing_succeeds(name: str, status: Status) -> None:
    generator = _make(name)
    for _ in range(60):
        generator.tell(evaluate(generator.ask(1)[0], status))
    assert len(generator.ask(3)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_incomplete_metrics_do_no_harm(name: str) -> None:
    generator = _make(name)
    for k in range(40):
        candidate = generator.ask(1)[0]
        metrics = [{}, {"score": float("nan"), "macs": 1.0}, {"score": float("-inf"), "macs": 1.0}][k % 3]
        generator.tell(Evaluation(candidate, Status.OK, metrics))
    assert len(generator.ask(3)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_each_candidate_is_told_exactly_once(name: str) -> None:
    generator = _make(name)
    first, second = generator.ask(2)
    generator.tell(evaluate(first))
    with pytest.raises(ValueError, match=r"candidate 0 .* has not been told"):
        generator.tell(evaluate(first))
    with pytest.raises(ValueError, match=r"candidate 2"):
        generator.tell(evaluate(Candidate(2, first.architecture)))
    with pytest.raises(ValueError, match=r"candidate 1"):
        generator.tell(evaluate(Candidate(1, first.architecture)))
    generator.tell(evaluate(second))


@pytest.mark.parametrize("name", NAMES)
def test_a_space_is_exhausted_design_by_design(name: str) -> None:
    space = stand_in(**SMALL)
    generator = create(name, space, OBJECTIVES, 0)
    evaluations = search(generator, space.size() - 1)
    assert not generator.exhausted
    last = generator.ask(5)
    assert len(last) == 1
    assert generator.exhausted
    assert len({e.candidate.architecture.id for e in evaluations} | {last[0].architecture.id}) == space.size()
    generator.tell(evaluate(last[0]))
    assert generator.ask(5) == []


@pytest.mark.parametrize("name", NAMES)
def test_one_and_four_objectives(name: str) -> None:
    for metrics in (["macs"], ["macs", "params", "latency_ms", "score"]):
        generator = create(name, stand_in(), tuple(map(Objective, metrics)), 0)
        for _ in range(30):
            candidate = generator.ask(1)[0]
            cost = plan(candidate.architecture).cost
            values = {"macs": cost.macs, "params": cost.params, "latency_ms": 1.0, "score": candidate.number % 3}
            generator.tell(Evaluation(candidate, Status.OK, values))
        assert len(generator.ask(2)) == 2


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_beats_random_on_a_fixed_problem(name: str) -> None:
    budget = 60 if name == "tpe" else 120  # it needs fewer, and takes longer over each

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
