"""What is known of designs: costs as facts, the rest as scenarios; requirements, utilities, failures."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from generators.surface import OBJECTIVES, Surface, space
from numpy.typing import NDArray
from scipy.stats import norm

from gas.evaluation import Constraint, Objective
from gas.generators._beliefs import KEPT, Beliefs, Description
from gas.generators._improvement import QUANTILES, quantiles
from gas.space.designs import Designs
from gas.utility import Utility, read_utility

WORDS = {"macs": "macs", "params": "params", "score": "score", "accuracy": "accuracy"}
PLAIN = (Objective("score", maximise=True), Objective("macs"))


@cache
def told() -> Designs:
    return space().sample_feasible(80, 4)


@cache
def asked() -> Designs:
    return space().sample_feasible(300, 5)


@cache
def describe() -> Description:
    return Description(space(), space().sample_feasible(2000, 6))


def accuracy(designs: Designs) -> NDArray:
    """A share of images, that rises with the score."""
    return 1 / (1 + np.exp(-(Surface(0).score(designs) - 62) / 8))


def beliefs(
    objectives: tuple = PLAIN,
    requirements: tuple = (),
    utility: Utility | None = None,
    count: int = 80,
    **values: NDArray,
) -> Beliefs:
    """Told of the score, of the accuracy and of a memory that is known by evaluations alone."""
    made = Beliefs(space(), objectives, requirements, utility)
    some = told()[np.arange(count)]
    metrics = {
        "score": Surface(0).score(some),
        "accuracy": accuracy(some),
        "memory": some.macs / 1e5 + some.params / 1e4,
        **values,
    }
    rng = np.random.default_rng(0)
    made.learn(describe()(some), metrics, rng.permutation(count), rng)
    return made


def losses(made: Beliefs, designs: Designs | None = None) -> tuple[NDArray, dict]:
    designs = asked() if designs is None else designs
    posteriors = made.posteriors(describe()(designs))
    return made.losses(designs, posteriors), posteriors


def test_descriptions_are_standardised_logarithms_of_the_features() -> None:
    drawn = space().sample_feasible(2000, 6)
    ours = describe()(drawn)
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(ours.std(axis=0), 1)
    assert ours.shape[1] == len(describe().names) > 10
    names, values = drawn.features()
    for name in ("stages[1].depth", "stages[0].dim"):
        raw = np.log1p(values[:, names.index(name)])
        np.testing.assert_allclose(ours[:, describe().names.index(name)], (raw - raw.mean()) / raw.std(), atol=1e-9)
    one = describe()(asked())[7]
    np.testing.assert_allclose(describe()(asked()[np.array([7])])[0], one)


def test_costs_are_facts_and_the_rest_scenarios() -> None:
    made = beliefs(OBJECTIVES)
    found, posteriors = losses(made)
    assert made.uncertain == ("score",)
    assert found.shape == (QUANTILES, 300, 3)
    np.testing.assert_array_equal(found[..., 1], np.broadcast_to(asked().macs, (QUANTILES, 300)))
    np.testing.assert_array_equal(found[..., 2], np.broadcast_to(asked().params, (QUANTILES, 300)))
    score = posteriors["score"]
    np.testing.assert_allclose(found[..., 0], -quantiles(score.mean, score.deviation))
    expected = made.expected(asked(), describe()(asked()))
    np.testing.assert_allclose(expected[:, 0], -score.mean, rtol=1e-4)
    np.testing.assert_array_equal(expected[:, 1], asked().macs)
    assert np.corrcoef(score.mean, Surface(0).score(asked()))[0, 1] > 0.95


def test_the_rough_belief_has_the_means_and_one_deviation() -> None:
    made = beliefs()
    found, posteriors = losses(made)
    rough = made.rough(asked(), describe()(asked()), {"score": 0.7})
    np.testing.assert_allclose(rough[..., 0].mean(axis=0), found[..., 0].mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(rough[..., 0].std(axis=0), 0.7, rtol=1e-4)
    assert posteriors["score"].deviation.std() > 0


def test_a_utility_is_worked_out_from_facts_and_scenarios() -> None:
    utility = read_utility("netscore(accuracy)", WORDS)
    made = beliefs((Objective(utility.name, maximise=True),), (), utility)
    found, posteriors = losses(made)
    assert made.uncertain == ("accuracy",)
    believed = posteriors["accuracy"]
    share = quantiles(believed.mean, believed.deviation)
    expected = 20 * np.log10((100 * share) ** 2 / np.sqrt(asked().params / 1e6 * asked().macs / 1e9))
    np.testing.assert_allclose(found[..., 0], -expected)
    assert found.shape == (QUANTILES, 300, 1)
    nothing = beliefs((Objective("utility", maximise=True),), (), read_utility("-log10(macs)", WORDS))
    found, _ = losses(nothing)
    np.testing.assert_allclose(found[..., 0], np.broadcast_to(np.log10(asked().macs), found.shape[:2]))
    assert nothing.uncertain == ()


def test_what_cannot_be_worked_out_is_infinite() -> None:
    utility = read_utility("log10(score - 1000)", WORDS)
    found, _ = losses(beliefs((Objective("utility", maximise=True),), (), utility))
    assert np.isposinf(found).all()


@pytest.mark.parametrize("bound", [{"low": 64.0}, {"high": 60.0}, {"low": 60.0, "high": 64.0}])
def test_scenarios_that_miss_a_requirement_are_infinite(bound: dict) -> None:
    made = beliefs(PLAIN, (Constraint("score", **bound), Constraint("macs", high=1.0)))
    found, posteriors = losses(made)
    values = quantiles(posteriors["score"].mean, posteriors["score"].deviation)
    missed = (values < bound.get("low", -math.inf)) | (values > bound.get("high", math.inf))
    assert missed.any()
    assert not missed.all()
    np.testing.assert_array_equal(np.isinf(found[..., 0]), missed)  # the bound on macs is the writer's affair
    assert np.isfinite(found[..., 1]).all()


def test_a_requirement_on_another_metric_and_on_exact_objectives_alone() -> None:
    floor = (Constraint("accuracy", low=0.5),)
    made = beliefs(PLAIN, floor)
    assert made.uncertain == ("score", "accuracy")
    assert np.isinf(losses(made)[0][..., 0]).any()
    facts = beliefs((Objective("macs"), Objective("params")), floor)
    found, posteriors = losses(facts)
    values = quantiles(posteriors["accuracy"].mean, posteriors["accuracy"].deviation)
    np.testing.assert_array_equal(np.isinf(found), np.repeat((values < 0.5)[..., None], 2, axis=2))


@pytest.mark.parametrize("bound", [{"low": 64.0}, {"high": 58.0}, {"low": 90.0}])
def test_chances_are_those_of_the_normal_distribution(bound: dict) -> None:
    made = beliefs(PLAIN, (Constraint("score", **bound),))
    posteriors = made.posteriors(describe()(asked()))
    ours = made.chance(posteriors)
    mean, deviation = posteriors["score"].mean, posteriors["score"].deviation
    logs = norm.logsf(bound["low"], mean, deviation) if "low" in bound else norm.logcdf(bound["high"], mean, deviation)
    np.testing.assert_allclose(ours, np.exp(logs - logs.max()), rtol=1e-6, atol=1e-300)
    assert ours.max() == 1
    assert (ours > 0).all()
    rough = made.rough_chance(describe()(asked()), {"score": float(np.median(deviation))})
    order = np.argsort(mean if "low" in bound else -mean)
    assert (np.diff(rough[order]) > -1e-3).all()
    assert rough.max() == 1


def test_two_uncertain_objectives_do_not_decide_one_another() -> None:
    objectives = (Objective("score", maximise=True), Objective("memory"), Objective("macs"))
    found, posteriors = losses(beliefs(objectives))
    for column, name, sign in ((0, "score", -1), (1, "memory", 1)):
        believed = posteriors[name]
        expected = sign * quantiles(believed.mean, believed.deviation)
        np.testing.assert_allclose(np.sort(found[..., column], axis=0), np.sort(expected, axis=0))
    ranks = found[..., :2].argsort(axis=0).argsort(axis=0)
    together = [np.corrcoef(ranks[:, k, 0], ranks[:, k, 1])[0, 1] for k in range(300)]
    assert np.abs(together).max() < 0.5


def test_doubts_tell_what_is_known_well_from_what_is_not() -> None:
    noise = np.random.default_rng(3).normal(size=80)
    made = beliefs((Objective("memory"), Objective("score", maximise=True), Objective("macs")), (), score=noise)
    doubts = made.doubts(describe()(asked()))
    assert set(doubts) == {0, 1}
    assert doubts[0] < 0.3 < doubts[1]
    made.settled = (0,)
    found, posteriors = losses(made)
    np.testing.assert_allclose(found[..., 0], np.broadcast_to(posteriors["memory"].mean, found.shape[:2]))
    assert found[..., 1].std(axis=0).min() > 0
    assert beliefs((Objective("macs"),)).doubts(describe()(asked())) == {}


def test_values_that_were_not_told_are_left_out() -> None:
    values = Surface(0).score(told())
    holes = np.where(np.arange(80) % 4 == 0, math.nan, values)
    some = losses(beliefs(score=holes))[1]["score"]
    assert np.isfinite(some.mean).all()
    assert np.corrcoef(some.mean, Surface(0).score(asked()))[0, 1] > 0.9
    nothing = beliefs(PLAIN, (Constraint("accuracy", low=0.5),), accuracy=np.full(80, math.nan))
    assert np.isfinite(losses(nothing)[0]).all()


def test_failures_are_feared_where_they_were() -> None:
    made = beliefs()
    assert (made.hope(describe()(asked())) == 1).all()
    large = told().macs > np.median(told().macs)
    features = describe()(told())
    made.fear(features[~large], features[large])
    hope = made.hope(describe()(asked()))
    there = asked().macs > np.median(told().macs)
    assert hope[there].mean() < 0.35 < 0.65 < hope[~there].mean()
    assert hope.min() >= 0.02
    assert hope.max() <= 1


def test_a_long_search_is_remembered_in_part_and_a_further_feature_is_taken_in() -> None:
    made = Beliefs(space(), PLAIN)
    designs, rng = space().sample_feasible(KEPT + 200, 8), np.random.default_rng(0)
    features, score = describe()(designs), Surface(0).score(designs)
    made.learn(features[:100], {"score": score[:100]}, np.arange(100), rng)
    made.learn(features, {"score": score}, rng.permutation(len(designs)), rng)
    model = made.posteriors(describe()(asked()))["score"]
    assert len(model._half) == KEPT
    wider = np.column_stack([features, score])[:100]
    made.learn(wider, {"score": score[:100]}, np.arange(100), rng)
    at = np.column_stack([describe()(asked()), Surface(0).score(asked())])
    assert np.corrcoef(made.posteriors(at)["score"].mean, Surface(0).score(asked()))[0, 1] > 0.99
