"""The estimate as a proxy: what it tells, and that it tells nothing of designs too unlike the known ones."""

from __future__ import annotations

import pytest
from proxies.designs import tiny

import gas
from gas.estimates import estimate
from gas.proxies import create


def test_it_tells_the_estimate_its_interval_and_the_distance() -> None:
    design = gas.load("mobilevit_xxs")
    metrics = create("imagenet_top1_estimate").score(design)
    found = estimate(design)
    assert metrics == {
        "imagenet_top1_estimate": found.top1,
        "imagenet_top1_estimate_low": found.low,
        "imagenet_top1_estimate_high": found.high,
        "imagenet_top1_estimate_distance": found.distance,
    }
    assert found.recipe == "plain"


def test_a_design_that_it_knows_nothing_like_has_no_score() -> None:
    with pytest.raises(ValueError, match="resolution: got 32 pixels; expected 128 to 384"):
        create("imagenet_top1_estimate").score(tiny())
