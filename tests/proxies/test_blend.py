"""The blend is the sum of its two parts, each at its own fidelity."""

from __future__ import annotations

import math

import pytest
from proxies.designs import hierarchical, tiny

from gas.proxies import Proxy, create
from gas.proxies.pca_count import PcaCount

SMALL = {"width": 1.0, "images": 128, "validation": 64, "steps": 4, "batch": 16, "seeds": 2}


def test_it_is_the_logarithm_of_the_count_less_the_loss() -> None:
    blend = create("blend", {"data": "digits", "fidelity": SMALL, "seed": 2})
    training = create("short_training", {"data": "digits", "fidelity": SMALL, "seed": 2}).score(tiny(), seed=3)
    # The design is smaller than the component count's usual images, so it is counted at its own size.
    side = tiny().resolution
    assert side < PcaCount.default_fidelity.resolution
    components = create("pca_count", {"fidelity": {"seeds": 2, "resolution": side}}).score(tiny(), seed=3)
    metrics = blend.score(tiny(), seed=3)
    assert metrics == {
        "blend": math.log(components["pca_count"]) - training["short_training_loss"],
        "blend_pca_count": components["pca_count"],
        "blend_accuracy": training["short_training"],
        "blend_loss": training["short_training_loss"],
    }


def test_before_any_training_took_hold_width_decides() -> None:
    blend = create("blend", {"data": "digits", "fidelity": {**SMALL, "steps": 1}})
    narrow, wide = (blend.score(hierarchical(8, (d, 2 * d), (1, 1), mask_unit=2, heads=2))["blend"] for d in (8, 32))
    assert wide > narrow


def test_features_that_do_not_vary_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PcaCount, "score", lambda *_, **__: {"pca_count": 0.0})
    with pytest.raises(ValueError, match="do not vary"):
        create("blend", {"data": "digits", "fidelity": SMALL}).score(tiny())


def test_components_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    score = PcaCount.score

    def counting(self: PcaCount, *args: object, **settings: object) -> dict[str, float]:
        counted.append(self.fidelity.seeds)
        return score(self, *args, **settings)

    monkeypatch.setattr(PcaCount, "score", counting)

    def rung(**fidelity: object) -> Proxy:
        return create("blend", {"data": "digits", "fidelity": {**SMALL, **fidelity}})

    whole = rung().score(tiny(), seed=3)
    counted.clear()
    first, state = rung(steps=2, horizon=4).resume(tiny(), seed=3)
    metrics, state = rung().resume(tiny(), state, seed=3)
    assert metrics == whole
    assert first["blend_pca_count"] == whole["blend_pca_count"]
    wider, _ = rung(width=2.0).resume(tiny(), state, seed=3)  # trained anew, and still not counted again
    assert wider["blend_loss"] != whole["blend_loss"]
    assert counted == [2]
    rung(seeds=3).resume(tiny(), state, seed=3)
    assert counted == [2, 3]


def test_the_rate_that_was_found_is_told() -> None:
    fidelity = {**SMALL, "rate": [1e-5, 2e-3]}
    metrics = create("blend", {"data": "digits", "fidelity": fidelity}).score(tiny())
    training = create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny())
    assert metrics["blend_rate"] == training["short_training_rate"]


def test_scores_stay_what_they_were() -> None:
    # Taken before it could go on from a state; see the like test of short training.
    fidelity = {"width": 1.0, "images": 256, "validation": 128, "steps": 24, "batch": 32}
    metrics = create("blend", {"data": "procedural", "fidelity": fidelity}).score(tiny(), seed=1)
    assert metrics["blend"] == pytest.approx(1.2502913293504232, abs=1e-6)
    assert metrics["blend_pca_count"] == 46
