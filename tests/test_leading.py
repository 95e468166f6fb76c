"""Which score leads where nobody says, and how many evaluations go with it."""

from __future__ import annotations

import pytest
import yaml

from gas.leading import led
from gas.proxies import PROXIES
from gas.settings import Settings
from gas.space import SearchSpace, load_space, space_from_text


def space_of(resolution: object, **more: object) -> SearchSpace:
    read = yaml.safe_load(load_space("tiny.yaml").document.text)
    bare = {key: value for key, value in read.items() if key not in ("objectives", "constraints", "compare")}
    return space_from_text(yaml.safe_dump({**bare, "input": {"resolution": resolution}, **more}), "changed.yaml")


@pytest.mark.parametrize(
    ("resolution", "proxy", "budget"),
    [
        (224, "imagenet_top1_estimate", 300),
        (128, "imagenet_top1_estimate", 300),
        ({"choose": [128, 384]}, "imagenet_top1_estimate", 300),
        ({"choose": [96, 128]}, "short_training", 40),
        ({"choose": [224, 512]}, "short_training", 40),
        (32, "short_training", 40),
    ],
)
def test_the_size_of_the_images_decides(resolution: object, proxy: str, budget: int) -> None:
    found, why = led(Settings(), space_of(resolution))
    assert (found.proxy, found.budget) == (proxy, budget)
    assert "pixels" in why


@pytest.mark.parametrize(
    ("given", "proxy"),
    [
        ({"data": "digits"}, "blend"),
        ({"fidelity": {"steps": 10}}, "blend"),
        ({"ladder": ({"steps": 64},)}, "blend"),
        ({"utility": "netscore"}, "blend"),
        ({"utility": "proxy - log10(macs)"}, "imagenet_top1_estimate"),
        ({"bank": "somewhere"}, "shared_weights"),
        ({"proxy": "naswot"}, "naswot"),
    ],
)
def test_what_is_asked_for_comes_first(given: dict, proxy: str) -> None:
    found, _ = led(Settings(**given), space_of(224))
    assert found.proxy == proxy
    small, _ = led(Settings(**given), space_of(32))
    assert small.proxy == ("short_training" if proxy in ("blend", "imagenet_top1_estimate") else proxy)
    assert found.budget == (40 if PROXIES.get(proxy).needs_training else 300)


def test_a_budget_that_is_given_stays() -> None:
    assert led(Settings(budget=7), space_of(224))[0].budget == 7
    assert led(Settings(budget=7, proxy="blend"), space_of(224))[0].budget == 7


def test_beside_the_estimate_something_else_leads() -> None:
    estimate = "estimate.imagenet_top1"
    for more in (
        {"objectives": [{"maximise": "proxy"}, {"maximise": estimate}]},
        {"objectives": [{"maximise": "proxy"}, {"minimise": "macs"}], "constraints": {estimate: {"min": 50}}},
    ):
        assert led(Settings(), space_of(224, **more))[0].proxy == "blend"
