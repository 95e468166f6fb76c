"""Estimates: what they say of known networks and of odd designs, when they refuse, and what is claimed of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

import gas
from gas.errors import DesignError, SettingError
from gas.estimates import Known, accuracy, estimate, estimate_structure, known
from gas.estimates.committee import Committee
from gas.estimates.estimating import FAR, fitted, reach
from gas.estimates.table import left_out as known_left_out
from gas.testing.cases import small_design

# Sound between its neighbours: a small network of the table, by its counts alone.
SOUND = next(row for row in known() if row.name == "mobilevit_s")


def of(**changes: float) -> dict[str, float]:
    """The counts of a known network, some of them changed."""
    return {**SOUND.structure, **changes}


def test_a_known_network_is_in_the_fit_whatever_it_is_called() -> None:
    found = estimate(gas.load("efficientvit_m0"))
    assert [row.name for row in found.same] == ["efficientvit_m0"]
    assert found.nearest[0].name == "efficientvit_m0"
    assert found.distance == 0
    assert not found.outside
    assert found.low < 63.304 < found.high


def test_recipes_of_one_network_are_near_once() -> None:
    structure = next(row.structure for row in known() if row.name == "fastvit_t12")
    found = estimate_structure(structure)
    assert {row.name for row in found.same} == {"fastvit_t12", "fastvit_t12 distilled"}
    assert len({tuple(row.structure.values()) for row in found.nearest}) == len(found.nearest) == 3


def test_the_fit_is_nearer_to_what_it_was_fitted_to_than_to_what_it_was_not() -> None:
    rows = known()
    inside = fitted().predict([row.structure for row in rows], [row.recipe for row in rows])
    top1 = np.array([row.top1 for row in rows])
    assert np.abs(inside.top1 - top1).mean() < accuracy().error


def test_a_teacher_helps() -> None:
    plain, distilled = (estimate_structure(SOUND.structure, recipe=recipe) for recipe in ("plain", "distilled"))
    # Networks with figures for both gain 0.5 to 2.3 points.
    assert 0.5 < distilled.top1 - plain.top1 < 2.3
    assert (plain.recipe, distilled.recipe) == ("plain", "distilled")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resolution": 64.0}, "resolution: got 64 pixels; expected 128 to 384"),
        ({"resolution": 512.0}, "resolution: got 512 pixels"),
        ({"macs": 5e6}, "macs: got 0.005G; expected 0.04G to 18.8G"),
        ({"macs": 1e11}, "macs: got 100G"),
        ({"params": 1e5}, "params: got 0.1M; expected 0.64M to "),
        ({"params": 1e9}, "params: got 1000M"),
        ({"depth": 0.0}, "depth: got no layer"),
        ({"depth": 10000.0, "activations": 5e9, "grouped": 1.0}, "times as far from the nearest known network [(]"),
    ],
)
def test_it_refuses_what_is_too_unlike(changes: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        estimate_structure(of(**changes))


def test_a_tiny_design_is_refused_and_an_impossible_one_named() -> None:
    with pytest.raises(ValueError, match="resolution: got 32 pixels"):
        estimate(small_design())
    with pytest.raises(DesignError):
        estimate(replace(gas.load("hiera_tiny"), resolution=225))


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(SettingError, match=r"got 'distiled'; expected one of plain, .*did you mean 'distilled'"):
        estimate_structure(SOUND.structure, recipe="distiled")


def test_an_interval_widens_with_the_distance() -> None:
    widths, distances = [], []
    for share in (0.0, 0.3, 0.6, 0.9):
        found = estimate_structure(of(dense=share, grouped=0.0, pointwise=1 - share, attention=0.0))
        widths.append(found.high - found.low)
        distances.append(found.distance)
        assert found.outside == (found.distance > 1)
    assert distances[1:] == sorted(distances[1:])
    assert max(distances) > 1
    assert widths[-1] > 1.5 * min(widths)


def test_beyond_the_known_the_interval_is_so_many_times_as_wide() -> None:
    structure = of(dense=0.9, grouped=0.0, pointwise=0.1, attention=0.0)
    found = estimate_structure(structure)
    assert 1 < found.distance < FAR
    plain = fitted().predict([structure], ["plain"])
    assert found.high - found.top1 == pytest.approx(found.distance * float(plain.high[0] - plain.top1[0]))
    assert found.top1 - found.low == pytest.approx(found.distance * float(plain.top1[0] - plain.low[0]))


def test_no_known_network_is_outside_when_left_out() -> None:
    rows = known()
    families = [row.family for row in rows]
    away = fitted().distances([row.structure for row in rows], families)
    assert away.min(axis=1).max() == reach()


@pytest.mark.slow
def test_random_designs_of_a_search_rank_by_size_and_no_more_collapse() -> None:
    designs = gas.load_space("turbovit.yaml").sample(40, seed=1, feasible=True)
    said, params = [], []
    for design in designs:
        try:
            found = estimate(design)
        except ValueError:
            continue
        said.append(found.top1)
        params.append(gas.cost(design).params)
        assert 50 < found.low < found.top1 < found.high < 90
    assert len(said) >= 36
    assert kendalltau(said, params)[0] > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hiera_tiny", "turbovit"])
def test_more_blocks_are_no_worse(name: str) -> None:
    design = gas.load(name)
    before = estimate(design).top1
    for index, stage in enumerate(design.stages):
        groups = tuple(replace(group, depth=group.depth + 2) for group in stage.blocks)
        stages = (*design.stages[:index], replace(stage, blocks=groups), *design.stages[index + 1 :])
        assert estimate(replace(design, stages=stages)).top1 > before - 0.3


# What is claimed: every family left out, and everything that is fitted, fitted anew.
@pytest.fixture(scope="module")
def left_out() -> dict[str, tuple[Known, float, float, float]]:
    rows, found = known(), {}
    for family in dict.fromkeys(row.family for row in rows):
        own = [row for row in rows if row.family == family]
        fit = Committee([row for row in rows if row.family != family])
        said = fit.predict([row.structure for row in own], [row.recipe for row in own])
        found |= {row.name: (row, *three) for row, *three in zip(own, said.top1, said.low, said.high, strict=True)}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("least", "kendall"), [(0, 0.77), (1e9, 0.68)])
def test_families_left_out_are_met_as_claimed(left_out: dict, least: float, kendall: float) -> None:
    rows = [entry for entry in left_out.values() if entry[0].structure["macs"] >= least]
    top1 = np.array([row.top1 for row, *_ in rows])
    said, low, high = np.array([entry[1:] for entry in rows]).T
    assert np.abs(said - top1).mean() <= 0.9
    assert kendalltau(said, top1)[0] >= kendall
    assert 0.85 <= ((low <= top1) & (top1 <= high)).mean() <= 0.95


@pytest.mark.slow
def test_the_committed_figures_are_what_fitting_anew_gives(left_out: dict) -> None:
    committed = known_left_out()
    assert committed.keys() == left_out.keys()
    for name, (_, *said) in left_out.items():
        told = committed[name]
        assert [told.top1, told.low, told.high] == pytest.approx(said, abs=0.02), name


def test_what_is_claimed_follows_from_the_committed_figures() -> None:
    held, said = accuracy(), known_left_out()
    rows = known()
    pairs = [(one, two) for index, one in enumerate(rows) for two in rows[:index] if one.top1 != two.top1]
    signs = [np.sign((said[a.name].top1 - said[b.name].top1) * (a.top1 - b.top1)) for a, b in pairs]
    ties = len(rows) * (len(rows) - 1) / 2 - len(pairs)
    assert held.kendall == pytest.approx(sum(signs) / np.sqrt(len(pairs) * (len(pairs) + ties)), abs=0.002)
    assert held.error == pytest.approx(sum(abs(said[row.name].top1 - row.top1) for row in rows) / len(rows))
    assert held.coverage == sum(said[row.name].low <= row.top1 <= said[row.name].high for row in rows) / len(rows)
    assert (held.networks, held.families) == (len(rows), len({row.family for row in rows}))
