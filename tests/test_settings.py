from __future__ import annotations

import json

import pytest

from gas.errors import SettingError
from gas.evaluation import Constraint, Objective
from gas.settings import Settings, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86400),
        (" 3 m ", 180),
        (45, 45),
        (0.5, 0.5),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "5x", "-3", "0", "0s", "m", "1m30s", "nan", "inf", "1e3"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(SettingError, match=r"^limit: got '.*'; expected a duration such as 90s, 10m or 2h$"):
        seconds_of(text, "limit")


def test_no_duration_is_none() -> None:
    assert seconds_of(None) is None


def test_settings_go_to_json_and_back() -> None:
    settings = Settings.of(
        budget=3, seconds=9.5, generator_options={"population": 4}, fidelity={"width": 0.5}, compare=("a", "b")
    )  # fmt: skip
    assert Settings.from_json(json.loads(json.dumps(settings.model_dump(mode="json")))) == settings
    assert Settings.from_json({}) == Settings()


def test_lists_will_do_for_what_is_kept_as_a_tuple() -> None:
    settings = Settings.of(compare=["a"], prototypes=["b", "c"], utility="netscore")
    assert settings.compare == ("a",)
    assert settings.prototypes == ("b", "c")
    assert Settings.from_json(json.loads(json.dumps(settings.model_dump(mode="json")))) == settings
    with pytest.raises(SettingError, match=r"prototypes: got 3; expected a valid string"):
        Settings.of(prototypes=[3])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"budget": 0}, "budget: got 0; expected greater than or equal to 1"),
        ({"budget": 2.5}, "budget: got 2.5; expected a valid integer"),
        ({"budget": "3"}, "budget: got '3'; expected a valid integer"),
        ({"workers": -1}, "workers: got -1; expected greater than or equal to 1"),
        ({"threads": 0}, "threads: got 0; expected greater than or equal to 1"),
        ({"batch": 0}, "batch: got 0; expected greater than or equal to 1"),
        ({"memory_mib": 0}, "memory_mib: got 0; expected greater than or equal to 1"),
        ({"seconds": 0.0}, "seconds: got 0.0; expected greater than 0"),
        ({"limit_s": -1.0}, "limit_s: got -1.0; expected greater than 0"),
        ({"generator": None}, "generator: got None; expected a valid string"),
        ({"fidelity": 3}, "fidelity: got 3; expected a valid dictionary"),
        ({"bugdet": 3}, "search: got 'bugdet'; expected one of .*budget.*; did you mean 'budget'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(values: dict, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{text}"):
        Settings.of(**values)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().budget = 3


def test_recorded_names() -> None:
    settings = Settings.of(proxy="pca_count")
    assert settings.objective(Objective("proxy", maximise=True)) == Objective("pca_count", maximise=True)
    assert settings.objective(Objective("latency_ms")) == Objective("latency_ms_predicted")
    assert settings.objective(Objective("macs")) == Objective("macs")
    bound = settings.constraint(Constraint("latency_ms", 1.0, 2.0, "x"))
    assert bound == Constraint("latency_ms_predicted", 1.0, 2.0, "x")
