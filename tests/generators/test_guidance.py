"""What probes tell: stages that are short grow, wasted ones shrink, and growth is worth what its slope says."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from generators.surface import Surface, readings, space
from numpy.typing import NDArray
from scipy.integrate import quad

from gas.generators._guidance import LEAST, RIDGE, Guidance
from gas.generators._pool import Pool
from gas.space.designs import Designs

COST = np.array([0.4, 0.3, 0.3])


@cache
def probed() -> Designs:
    return space().sample_feasible(40, 9)


def guidance(saliency: list[float] | None = None, count: int = 40) -> Guidance:
    """Probed with the same saliency everywhere; with the truth of a surface where none is given."""
    rng = np.random.default_rng(0)
    made = Guidance(space(), space().sample_feasible(2000, 1), Pool(space(), feasible=True, rng=rng), rng)
    surface = Surface(0)
    for number in range(count):
        one = probed()[np.array([number])]
        shares = surface.slopes(one)[0] if saliency is None else np.array(saliency)
        made.note(number, readings(shares, surface.sizes(one)[0] if saliency is None else COST))
    return made


def test_signs_are_those_of_growth() -> None:
    made = guidance()
    for number, decision in enumerate(space().decisions):
        stage = re.match(r"stages\[(\d)\]", decision.path)
        assert made._stage[number] == (int(stage[1]) if stage else -1)
        if decision.path.endswith(("depth", "ratio")) or (stage and decision.path.endswith(".dim")):
            assert made._signs[number] == 1, decision.path
        if not decision.ordered:
            assert made._signs[number] == 0, decision.path


def test_sizes_are_the_macs_of_the_stages() -> None:
    sizes = guidance()._sizes(probed())
    np.testing.assert_allclose(np.exp(sizes), Surface(0).sizes(probed()))
    assert (np.exp(sizes).sum(axis=1) < probed().macs).all()  # the stem and the head are in no stage


def test_need_is_saliency_over_cost() -> None:
    made = guidance([0.6, 0.3, 0.1])
    need = made._need(0)
    np.testing.assert_allclose(need, np.log((np.array([0.6, 0.3, 0.1]) + 0.01) / (COST + 0.01)))
    assert np.argsort(need).tolist() == [2, 1, 0]


def test_readings_without_saliency_or_cost_are_left_out() -> None:
    made = guidance(count=0)
    made.note(0, ())
    made.note(1, [{"stage": 0, "macs_share": 1.0}])
    made.note(2, [{"stage": 0, "saliency": 0.0, "macs_share": 1.0}])
    assert not made._probed
    made.note(
        3, [{"stage": 1, "saliency": 0.5, "macs_share": 0.2, "latency_share": 0.8}, {"stage": 2, "macs_share": 9}]
    )
    saliency, cost = made._probed[3]
    np.testing.assert_allclose((saliency, cost), [[0, 1, 0], [0, 1, 0]])
    made.note(4, [{"stage": k, "saliency": 1.0, "macs_share": 0.5, "latency_share": 0.1 + k} for k in (0, 1)])
    np.testing.assert_allclose(made._probed[4][1], np.array([0.1, 1.1, 0]) / 1.2)  # latency, where it is known


@pytest.mark.parametrize(("count", "ready"), [(LEAST - 1, False), (LEAST, True)])
def test_it_speaks_when_enough_was_probed(count: int, ready: bool) -> None:
    assert guidance(count=count).ready is ready


def children(made: Guidance, count: int = 600) -> tuple[NDArray, list[str], Designs, Designs]:
    designs, words = made.children(list(range(40)), probed().codes, count)
    parents = probed()[np.array([int(re.search(r"probes of (\d+) point", text)[1]) for text in words])]
    changes = np.log(Surface(0).sizes(designs) / Surface(0).sizes(parents))
    return changes, words, designs, parents


def test_children_grow_the_short_stage_and_shrink_the_wasted_one() -> None:
    changes, words, designs, parents = children(guidance([0.02, 0.08, 0.9]))
    assert len(words) == len(designs) > 300
    assert space().within(designs).all()
    grown = [text.startswith("stage 2 grown, stage 0 shrunk") for text in words]
    assert np.mean(grown) > 0.6
    other, *_ = children(guidance([0.9, 0.08, 0.02]))
    assert other.mean(axis=0)[0] > 0 > other.mean(axis=0)[2]
    assert changes.mean(axis=0)[2] > 0 > changes.mean(axis=0)[0]
    steps = ((designs.codes != parents.codes) & (designs.codes >= 0) & (parents.codes >= 0)).sum(axis=1)
    assert np.median(steps) == 2  # one decision grows, one shrinks


def test_children_do_what_their_origin_says() -> None:
    changes, words, _, parents = children(guidance())
    stages = np.array([re.match(r"stage (\d) grown, stage (\d) shrunk as probes", text).groups() for text in words])
    grown, shrunk = stages.astype(int).T
    lines = np.arange(len(words))
    assert (grown != shrunk).all()
    assert (changes[lines, grown] > 0).all()
    assert (changes[lines, shrunk] < 0).all()
    assert len(set(parents.macs.tolist())) >= 8  # several of the best, not one


def test_parents_that_were_not_probed_have_no_guided_children() -> None:
    made = guidance(count=10)
    designs, words = made.children(list(range(39, -1, -1)), probed().codes[::-1], 200)
    assert {int(re.search(r"of (\d+) point", text)[1]) for text in words} <= set(range(10))
    assert len(designs) == len(words) > 50


def fitted(made: Guidance, stage: int) -> tuple[float, float]:
    """The share of a stage's saliency over the logarithm of its size: level and slope, by a ridge from scratch."""
    sizes = made._sizes(probed()) - made._sizes(space().sample_feasible(2000, 1)).mean(axis=0)
    shares = np.array([made._probed[k][0] for k in range(len(probed()))])
    x, y = sizes[:, stage], shares[:, stage]
    # Equal to least squares with one more row, which pulls the slope towards nothing.
    rows = np.vstack([np.column_stack([x - x.mean(), np.ones_like(x)]), [np.sqrt(RIDGE), 0.0]])
    slope, middle = np.linalg.lstsq(rows, np.append(y, 0.0), rcond=None)[0]
    return middle - slope * x.mean(), slope


def test_the_potential_is_the_integral_of_the_saliency() -> None:
    made = guidance()
    made.learn(list(range(40)), probed())
    asked = space().sample_feasible(12, 2)
    sizes = made._sizes(asked) - made._sizes(space().sample_feasible(2000, 1)).mean(axis=0)
    lines = [fitted(made, stage) for stage in range(3)]
    expected = [
        sum(quad(lambda x, a=a, b=b: a + b * x, 0.0, end)[0] for (a, b), end in zip(lines, row, strict=True))
        for row in sizes
    ]
    potential = made.potential(asked)
    assert potential.shape == (12, 1)
    np.testing.assert_allclose(potential[:, 0], expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_of_true_slopes_the_potential_is_nearly_the_score(seed: int) -> None:
    surface = Surface(seed)
    made = guidance(count=0)
    for number in range(40):
        one = probed()[np.array([number])]
        made.note(number, readings(surface.slopes(one)[0], surface.sizes(one)[0]))
    made.learn(list(range(40)), probed())
    asked = space().sample_feasible(2000, 3)
    assert np.corrcoef(made.potential(asked)[:, 0], surface.score(asked))[0, 1] > 0.85
