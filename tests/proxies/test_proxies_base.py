"""Fidelity, settings and the registry; and what every proxy promises, over the registry."""

from __future__ import annotations

import json
import time

import pydantic
import pytest
from proxies.designs import tiny

from gas.data import load
from gas.errors import DesignError, SettingError, UnknownNameError
from gas.proxies import PROXIES, Fidelity, Proxy, create
from gas.proxies.structural import Structural
from gas.proxies.training_free import TrainingFree
from gas.testing import PROXY_CHECKS, check_proxy

SMALL = {"resolution": 32, "width": 1.0, "images": 64, "validation": 32, "steps": 4, "batch": 16, "seeds": 2}


# Those whose scores rest on random weights and reduce the design; one that does not is a proxy all the same.
OWN = ("blend", "pca_count", "short_training")


# Of those that train, and of those that read untrained networks, one goes through all bundled spaces where tests shall
# be quick.
LATER = ("blend", "imagenet_top1_estimate", "micro_tasks", "pca_count", "shared_weights")


def is_later(name: str) -> bool:
    return name in LATER or (issubclass(PROXIES.get(name), TrainingFree | Structural) and name != "naswot")


CASES = [
    pytest.param(name, check, marks=[pytest.mark.slow] * (check == "spaces" and is_later(name)))
    for name in PROXIES.names()
    for check in PROXY_CHECKS
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_contract(name: str, check: str) -> None:
    check_proxy(name, check)


@pytest.fixture(params=OWN)
def proxy(request: pytest.FixtureRequest) -> Proxy:
    return create(request.param, {"data": "digits", "fidelity": SMALL})


def test_other_seeds_give_other_scores(proxy: Proxy) -> None:
    first, *others = (proxy.score(tiny(32), seed=s) for s in (0, 1, 2, 3))
    assert any(other != first for other in others)


def test_a_deadline_that_has_passed_says_how_far_it_had_come(proxy: Proxy) -> None:
    with pytest.raises(TimeoutError, match="out of time at"):
        proxy.score(tiny(), deadline=time.monotonic() - 1)


def test_a_design_that_cannot_be_reduced_is_a_design_error(proxy: Proxy) -> None:
    small = create(proxy.name, {"data": "digits", "fidelity": {**SMALL, "resolution": 20}})
    if proxy.name == "pca_count":  # takes larger images instead: the next at which the design exists
        assert small.score(tiny())["pca_count"] > 0
        return
    with pytest.raises(DesignError, match=r"mask_unit|grid"):
        small.score(tiny())


def test_images_are_loaded_once_at_the_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counting(*args: object, **settings: object) -> object:
        calls.append((args, settings))
        return load(*args, **settings)

    monkeypatch.setattr("gas.proxies.base.load", counting)
    proxy = create("short_training", {"data": "digits", "fidelity": SMALL, "seed": 5})
    proxy.prepare()
    proxy.prepare()
    proxy.score(tiny())
    wanted = {"resolution": 32, "images": 64, "validation": 32, "noise": 1.0, "seed": 5}
    ((args, settings),) = calls
    assert args == ("digits",)
    assert settings.items() >= wanted.items()


def test_fidelity_is_recorded_as_canonical_json() -> None:
    fidelity = Fidelity(resolution=64, width=0.5)
    text = fidelity.to_json()
    assert list(json.loads(text)) == sorted(Fidelity.model_fields)
    assert " " not in text
    assert Fidelity(**json.loads(text)) == fidelity


def test_a_fidelity_differs_from_the_default_only_where_told() -> None:
    proxy = create("short_training", {"fidelity": {"steps": 7}})
    assert proxy.data == type(proxy).default_data == "digits"
    usual = {**type(proxy).default_fidelity.model_dump(), "noise": 1.0}  # digits bring their own noise
    assert proxy.fidelity.model_dump() == {**usual, "steps": 7}


def test_some_data_have_a_default_fidelity_of_their_own() -> None:
    fidelities = [create("short_training", {"data": d}).fidelity for d in ("digits", "procedural")]
    assert [f.noise for f in fidelities] == [1.0, 0.0]
    assert create("short_training", {"data": "digits", "fidelity": {"noise": 0.5}}).fidelity.noise == 0.5
    assert create("short_training", {"data": "digits", "fidelity": Fidelity()}).fidelity == Fidelity()


@pytest.mark.parametrize(
    ("name", "settings", "kind", "text"),
    [
        ("short_trainin", {}, UnknownNameError, "proxy: got 'short_trainin'; .*did you mean 'short_training'"),
        ("short_training", {"date": "digits"}, SettingError, "got 'date'; .*did you mean 'data'"),
        ("short_training", {"fidelity": {"step": 3}}, SettingError, "fidelity: got 'step'; .*did you mean 'steps'"),
        ("short_training", {"fidelity": {"steps": 0}}, SettingError, "fidelity.steps: got 0; .*greater than 0"),
        ("short_training", {"fidelity": {"width": "half"}}, SettingError, "fidelity.width: got 'half'"),
        (
            "short_training",
            {"fidelity": {"steps": 64, "horizon": 32}},
            SettingError,
            "fidelity.horizon: got 32; expected at least the steps, 64",
        ),
        (
            "short_training",
            {"fidelity": {"augment": ["flip", "mixip"]}},
            SettingError,
            r"fidelity.augment: got \['flip', 'mixip'\]; .*expected some of flip, .*; did you mean 'mixup'",
        ),
        ("short_training", {"fidelity": {"augment": "flip+flip"}}, SettingError, "expected every augmentation once"),
        ("short_training", {"fidelity": {"rate": -1.0}}, SettingError, "fidelity.rate: got -1.0; .*greater than 0"),
        ("short_training", {"fidelity": {"rate": float("nan")}}, SettingError, "fidelity.rate: got nan; .*finite"),
        ("short_training", {"fidelity": {"rate": [1e-3, 0.0]}}, SettingError, "expected a number above 0, or several"),
        ("short_training", {"fidelity": {"rate": [1e-3, 1e-3]}}, SettingError, "or several different ones"),
        ("short_training", {"fidelity": {"rate": []}}, SettingError, "fidelity.rate: got "),
        (
            "short_training",
            {"fidelity": {"rate": "fast"}},
            SettingError,
            "fidelity.rate: got 'fast'; expected a number",
        ),
        (
            "short_training",
            {"fidelity": {"precision": "float16"}},
            SettingError,
            "precision: got 'float16'; .*bfloat16",
        ),
        ("short_training", {"fidelity": {"warm_up": 1.0}}, SettingError, "fidelity.warm_up: got 1.0; .*less than 1"),
    ],
)
def test_wrong_settings_are_named(name: str, settings: dict, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        create(name, settings)


def test_what_the_command_line_and_json_can_write_is_understood() -> None:
    told = Fidelity.of({"augment": "flip+mixup", "rate": "0.001+0.002"}, Fidelity())
    assert told.augment == ("flip", "mixup")
    assert told.rate == (1e-3, 2e-3)
    assert Fidelity(**json.loads(told.to_json())) == told
    assert Fidelity.of({"rate": 1}, Fidelity()).rate == 1.0
    assert Fidelity.of({"rate": "0.5"}, Fidelity()).rate == (0.5,)


def test_a_proxy_has_nothing_to_note_of_sound_images(proxy: Proxy) -> None:
    proxy.prepare()
    proxy.score(tiny())
    assert proxy.notes() == ()


def test_a_proxy_that_cannot_go_on_says_so() -> None:
    with pytest.raises(SettingError, match="pca_count: got a training to go on with; expected one that is resumable"):
        create("pca_count").resume(tiny())


def test_fidelity_is_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        Fidelity().steps = 3
