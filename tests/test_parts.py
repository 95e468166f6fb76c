"""The parts of a search, made from its settings."""

from __future__ import annotations

import pytest
from small_search import SPACE

from gas.errors import SettingError, UnknownNameError
from gas.evaluation import Constraint
from gas.goals import Goals
from gas.parts import bounds_of, check_budget, fidelity_of, generator_of, profile_of
from gas.pricing import Pricing
from gas.settings import Settings
from gas.space import SearchSpace, load, load_space, space_from_text


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return space_from_text(SPACE)


def test_the_fidelity_is_cut_to_the_size_of_the_designs_unless_asked_for(space: SearchSpace) -> None:
    assert fidelity_of(Settings.of(proxy="blend"), space) == {"resolution": 32, "width": 0.5}
    assert fidelity_of(Settings.of(proxy="blend", fidelity={"width": 0.75, "steps": 3}), space) == {
        "resolution": 32,
        "width": 0.75,
        "steps": 3,
    }
    assert fidelity_of(Settings.of(proxy="blend", fidelity={"steps": 3}), load_space("turbovit.yaml")) == {"steps": 3}


def test_nothing_is_predicted_where_latency_does_not_matter(space: SearchSpace) -> None:
    assert profile_of(Settings(), space, None, None) is None


def test_bounds_in_recorded_names(space: SearchSpace) -> None:
    text = f"{SPACE}\nconstraints: {{macs: {{max: 9M}}, proxy: {{min: 2}}, memory: {{max: 0.5, of: hiera_tiny}}}}\n"
    bounded, notes = space_from_text(text), []
    pricing = Pricing(memory_batch=2)
    macs, held = bounds_of(Settings(), bounded, {"hiera_tiny": load("hiera_tiny")}, pricing, notes.append)
    assert macs == Constraint("macs", high=9e6)
    assert (held.metric, held.of) == ("memory_mib", "")
    assert held.high == pytest.approx(0.5 * pricing.metrics(load("hiera_tiny"))["memory_mib"])
    assert notes == []


@pytest.mark.parametrize("name", ["seed", "space", "objectives", "requirements", "utility", "prototypes", "name"])
def test_what_a_generator_is_given_anyway_is_no_option(name: str, space: SearchSpace) -> None:
    settings = Settings.of(generator="evolution", generator_options={name: 3})
    with pytest.raises(SettingError, match=rf"^generator evolution: got '{name}'; expected one of crossover, mutation"):
        generator_of(settings, space, Goals.of(space, settings), {})


def test_a_generator_knows_what_is_wanted(space: SearchSpace) -> None:
    settings = Settings.of(generator="random", utility="proxy / macs", proxy="pca_count")
    goals, prototypes = Goals.of(space, settings), {"a": space.sample(1, 0)[0]}
    generator = generator_of(settings, space, goals, prototypes)
    assert generator.utility == goals.utility
    assert generator.objectives == goals.objectives
    assert generator.first_batch == 1
    assert generator.ask(1)[0].architecture == prototypes["a"]
    with pytest.raises(UnknownNameError, match="did you mean 'random'"):
        generator_of(Settings.of(generator="randon"), space, goals, {})


@pytest.mark.parametrize(("budget", "enough"), [(1, False), (2, True), (3, True)])
def test_a_budget_covers_what_the_generator_begins_with(budget: int, enough: bool, space: SearchSpace) -> None:
    settings = Settings.of(generator="random", budget=budget)
    designs = {str(i): design for i, design in enumerate(space.sample(2, 0))}
    generator = generator_of(settings, space, Goals.of(space, settings), designs)
    if enough:
        check_budget(settings, generator)
        return
    with pytest.raises(
        SettingError, match=r"^budget: got 1; expected at least 2, the designs that the generator random"
    ):
        check_budget(settings, generator)
