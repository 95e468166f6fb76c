"""What a search wants, as the space and the settings say it, in recorded names."""

from __future__ import annotations

import pytest
from small_search import SPACE

from gas.errors import SettingError
from gas.evaluation import Constraint, Objective
from gas.goals import Goals, words
from gas.settings import Settings
from gas.space import SearchSpace, space_from_text


def space(constraints: str = "", text: str = SPACE) -> SearchSpace:
    return space_from_text(f"{text}\nconstraints: {{{constraints}}}\n" if constraints else text)


def test_without_a_utility_the_objectives_are_the_space_s() -> None:
    goals = Goals.of(space(), Settings.of(proxy="pca_count"))
    assert goals.objectives == (Objective("pca_count", maximise=True), Objective("macs"))
    assert goals.utility is None
    assert not goals.latency
    assert not goals.memory
    assert goals.with_utility({"macs": 3}) == {"macs": 3}
    bare = space(text=SPACE[: SPACE.index("objectives")])
    assert Goals.of(bare, Settings.of(proxy="pca_count")).objectives == goals.objectives


def test_with_a_utility_it_is_the_only_objective_and_says_what_must_be_known() -> None:
    goals = Goals.of(space(), Settings.of(utility="proxy - memory", proxy="pca_count"))
    assert goals.objectives == (Objective("utility", maximise=True),)
    assert goals.memory
    assert not goals.latency
    assert goals.with_utility({"pca_count": 5.0, "memory_mib": 3.0})["utility"] == 2.0
    assert goals.with_utility({"pca_count": 5.0}) == {"pca_count": 5.0}
    assert Goals.of(space(), Settings.of(proxy="blend", utility="1 / latency_ms_predicted")).latency
    assert Goals.of(space(), Settings.of(proxy="blend", utility="netscore")).objectives == (
        Objective("netscore", maximise=True),
    )


def test_bounds_that_only_an_evaluation_decides() -> None:
    constraints = "params: {max: 9M}, proxy: {min: 0.5, max: 2}, latency: {max: 2, of: hiera_tiny}"
    goals = Goals.of(space(constraints), Settings.of(proxy="pca_count"))
    assert goals.requirements == (Constraint("pca_count", 0.5, 2.0),)
    assert goals.measured == (*goals.requirements, Constraint("latency_ratio", high=2.0))
    assert goals.latency
    assert Goals.of(space("latency: {max: 9ms}"), Settings.of(proxy="blend")).measured == (
        Constraint("latency_ms", high=9.0),
    )
    with pytest.raises(SettingError, match=r"^constraints.proxy.of: got 'hiera_tiny'; expected a bound on the score"):
        Goals.of(space("proxy: {min: 1, of: hiera_tiny}"), Settings.of(proxy="blend"))


@pytest.mark.parametrize(
    ("proxy", "accuracy"), [("blend", "blend_accuracy"), ("short_training", "short_training"), ("pca_count", None)]
)
def test_words_of_a_utility(proxy: str, accuracy: str | None) -> None:
    known = words(Settings.of(proxy=proxy))
    assert known["proxy"] == proxy == known[proxy]
    assert known["latency"] == "latency_ms_predicted"
    assert known["memory"] == "memory_mib"
    assert known.get("accuracy") == accuracy
    assert list(known)[:5] == ["macs", "params", "memory", "latency", "proxy"]


@pytest.mark.parametrize("text", ["netscore", "netscore(proxy)", "2 * accuracy", "proxy + netscore"])
def test_a_proxy_without_an_accuracy_is_refused_and_those_with_one_named(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        Goals.of(space(), Settings.of(utility=text, proxy="pca_count"))
    assert f"utility: got {text!r}, which reads an accuracy, with the proxy pca_count" in str(caught.value)
    assert "expected a proxy that measures one (blend, shared_weights, short_training)" in str(caught.value)
