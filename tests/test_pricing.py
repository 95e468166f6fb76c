from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from gas.costs import LatencyTable, Profile
from gas.costs.predictor import Correction
from gas.costs.profiles import space_pieces
from gas.errors import SettingError
from gas.evaluation import Constraint
from gas.pricing import PREDICTED, Pricing, find_profile
from gas.space import SearchSpace, load, load_space


@cache
def space() -> SearchSpace:
    return load_space("tiny.yaml")


@pytest.fixture
def table(tmp_path: Path) -> LatencyTable:
    return LatencyTable(path=tmp_path / "latency.sqlite", seconds=0.0)


@pytest.fixture
def profile(table: LatencyTable) -> Profile:
    """A made-up one: what a piece takes is told by its number of parameters."""
    known = {piece.key: 0.1 + piece.cost.params * 1e-5 for piece in space_pieces(space())}
    return Profile(table.label, "tiny", [], Correction(low=0.8, high=1.25), known, [], table)


def test_latency_is_what_the_profile_predicts_or_else_the_sum(table: LatencyTable, profile: Profile) -> None:
    design = space().sample(1, 0)[0]
    assert PREDICTED not in Pricing().metrics(design)
    assert Pricing(table=table).metrics(design)[PREDICTED] == table.predict(design)
    assert Pricing(table=table, profile=profile).metrics(design)[PREDICTED] == profile.predict(design).ms


def test_a_bound_is_drawn_in_by_the_margin(table: LatencyTable, profile: Profile) -> None:
    bound = Constraint("latency_ms", low=4.0, high=10.0)
    assert Pricing(table=table).latency_bound(bound, None) == bound
    inner = Pricing(table=table, profile=profile).latency_bound(bound, None)
    assert (inner.low, inner.high) == pytest.approx((5.0, 8.0))
    # Whatever is predicted within it has its whole interval within the bound.
    for ms in (inner.low, inner.high):
        prediction = profile.correction.interval(ms)
        assert bound.low <= prediction.low * (1 + 1e-9)
        assert prediction.high <= bound.high * (1 + 1e-9)


def test_a_reference_is_measured_whole_as_the_profile_s_designs_were(
    table: LatencyTable, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LatencyTable, "measured", lambda self, designs, beside: [30.0])
    monkeypatch.setattr(LatencyTable, "predict", lambda self, design: 20.0)
    bound = Constraint("latency_ms", high=0.5, of="x")
    reference = load("hiera_tiny")
    assert Pricing(table=table).latency_bound(bound, reference).high == 10.0
    assert Pricing(table=table, profile=profile).latency_bound(bound, reference).high == pytest.approx(15.0 / 1.25)


def test_generators_see_a_space_within_the_bound(table: LatencyTable, profile: Profile) -> None:
    times = sorted(profile.predict(design).ms for design in space().sample(200, 1, feasible=True))
    bound = Constraint(PREDICTED, high=times[20])
    pricing = Pricing((bound,), table, profile)
    drawn = pricing.bounded(space()).sample(200, 2, feasible=True)
    assert all(not pricing.refusal(pricing.metrics(design)) for design in drawn)
    assert Pricing((bound,), table).bounded(space()) is space()
    assert Pricing((), table, profile).bounded(space()) is space()
    with pytest.raises(SettingError, match=r"constraints\.latency_ms_predicted: got .* expected bounds that meet"):
        Pricing((Constraint(PREDICTED, high=1e-3),), table, profile).bounded(space())


def test_profiles_are_found_by_path_or_where_they_were_kept(
    table: LatencyTable, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    assert find_profile("auto", space(), table) is None
    assert find_profile("none", space(), table) is None
    with pytest.raises(SettingError, match="cannot be read"):
        find_profile(str(tmp_path / "lost.json"), space(), table)
    profile.save(tmp_path / "mine.json")
    assert find_profile(str(tmp_path / "mine.json"), space(), table) == profile
    from gas.costs import profile_path

    profile.save(profile_path(space(), table))
    assert find_profile("auto", space(), table) == profile
    assert find_profile("none", space(), table) is None
