"""The switches of the inquisitor: what each takes away, what is left, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from generators.stand_in import stand_in
from generators.surface import OBJECTIVES, Surface, space
from generators.test_inquisitor import QUICK, check_new_and_feasible, inquisitor, told

from gas.architecture import Architecture
from gas.errors import DesignError, SettingError
from gas.generators import Generator, create
from gas.plan import plan
from gas.probes import PROBES


def prototypes(count: int) -> dict[str, Architecture]:
    return {f"p{k}": design for k, design in enumerate(space().sample_feasible(count, 3))}


def begun(count: int, **options: object) -> Generator:
    return create("inquisitor", space(), OBJECTIVES, 0, prototypes=prototypes(count), **QUICK, **options)


def test_prototypes_come_first_and_the_policy_begins_at_them() -> None:
    made = begun(2)
    candidates = made.ask(12)
    assert [c.architecture for c in candidates[:2]] == list(prototypes(2).values())
    assert [c.origin for c in candidates] == ["p0", "p1", *["random"] * 10]
    drawn, even = (g._pool.policy(g._policy, 3000) for g in (made, inquisitor(0)))
    nearest = lambda designs: _equal(designs.codes, candidates, made).max(axis=1).mean()  # noqa: E731
    assert nearest(drawn) > nearest(even) + 0.2
    assert (begun(20).first_batch, begun(2).first_batch) == (20, 12)
    with pytest.raises(DesignError):
        made.start_from({"x": stand_in().twin.sample(1)[0]})


def _equal(codes: np.ndarray, candidates: list, made: Generator) -> np.ndarray:
    """(N, 2) shares of decisions that are those of the two prototypes."""
    wanted = [made._coded(c.decisions) for c in candidates[:2]]
    return np.stack([(codes == one).mean(axis=1) for one in wanted], axis=1)


def test_without_prototypes_they_are_forgotten() -> None:
    off = begun(3, from_prototypes=False)
    assert off.first_batch == 12
    assert [c.architecture for c in off.ask(5)] == [c.architecture for c in inquisitor(0).ask(5)]


def test_without_masking_it_proposes_what_is_outside_the_bounds_and_still_decodes() -> None:
    of = space()
    candidates = [e.candidate for e in told(inquisitor(0, masking=False), 50)]
    outside = 0
    for candidate in candidates:
        cost = plan(candidate.architecture).cost
        outside += any(bound.violation(getattr(cost, bound.metric)) > 0 for bound in of.budgets)
        assert of.decode(candidate.architecture) == candidate.decisions
    assert outside > 0


def test_without_a_surrogate_nothing_is_expected() -> None:
    evaluations = told(inquisitor(0, surrogate=False), 40)
    check_new_and_feasible([e.candidate for e in evaluations], space())
    assert {e.candidate.origin for e in evaluations} == {"random", "unscreened"}
    for seed in range(2):
        with_it, without = (Surface(seed).volume(told(inquisitor(seed, surrogate=s), 40, seed)) for s in (True, False))
        assert with_it > 1.05 * without


def test_probes_are_asked_for_unless_they_are_off() -> None:
    assert inquisitor().probes == tuple(PROBES.names())
    assert inquisitor(probes=False).probes == ()
    read = told(inquisitor(0, probes=False), 40, probes=lambda slopes: slopes)
    plain = told(inquisitor(0, probes=False), 40)
    assert [e.candidate.architecture for e in read] == [e.candidate.architecture for e in plain]


def _volumes(probes: object, n: int = 36) -> np.ndarray:
    return np.array([Surface(k).volume(told(inquisitor(k), n, k, probes=probes)) for k in range(8)])


@pytest.mark.slow
def test_probes_that_tell_the_truth_help_and_misleading_ones_do_little_harm() -> None:
    rng = np.random.default_rng(0)
    without, true, random = (
        _volumes(None),
        _volumes(lambda slopes: slopes),
        _volumes(lambda slopes: rng.dirichlet(np.ones(3))),
    )
    assert np.mean(true / without) > 0.99, (true, without)
    assert np.mean(random / without) > 0.95, (random, without)


def test_guided_proposals_say_so() -> None:
    origins = [e.candidate.origin for seed in range(2) for e in told(inquisitor(seed), 30, probes=lambda s: s)]
    guided = [text for text in origins if "probes" in text]
    assert guided
    assert all(re.search(r", stage \d grown, stage \d shrunk as probes of \d+ point$", text) for text in guided)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"start": 1}, "inquisitor.start: got 1; expected a whole number, at least 2"),
        ({"batch": 0}, "inquisitor.batch: got 0; expected a whole number, at least 1"),
        ({"screened": 10}, "inquisitor.screened: got 10; expected a whole number, at least 1000"),
        ({"start": 2.5}, "inquisitor.start: got 2.5; expected a whole number, at least 2"),
        ({"probe": False}, "generator inquisitor: got 'probe'; .*; did you mean 'probes'"),
        ({"masking": "no"}, "inquisitor.masking: got 'no'; expected true or false"),
        ({"from_prototypes": None}, "inquisitor.from_prototypes: got None; expected true or false"),
        ({"probes": "all"}, "inquisitor.probes: got 'all'; expected true or false"),
        ({"surrogate": 1}, "inquisitor.surrogate: got 1; expected true or false"),
    ],
)
def test_bad_options_are_named(options: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        inquisitor(**options)
