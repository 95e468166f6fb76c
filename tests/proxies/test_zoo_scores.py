"""Every design of the zoo has the scores that are read from forward passes, finite and the same when read again."""

from __future__ import annotations

import math

import pytest

from gas.proxies import Fidelity, create
from gas.proxies.az_nas import az_nas_ranks
from gas.proxies.training_free import look, score_together
from gas.space import bundled, load

NAMES = ("naswot", "swap", "w_pca", "zen", "az_nas", "vkdnw")
ZOO = [name for name in bundled() if name.startswith("zoo/")]
QUICK = ("zoo/edgenext_small", "zoo/efficientvit_m0", "zoo/mobilevit_xxs")
HASTY = Fidelity(resolution=32, batch=4, seeds=1)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in ZOO])
def test_every_design_of_the_zoo_has_finite_scores(name: str) -> None:
    found = score_together([create(one, {"fidelity": HASTY}) for one in NAMES], load(name))
    assert list(found) == list(NAMES)
    for one, metrics in found.items():
        assert isinstance(metrics, dict), f"{one}: {metrics}"
        assert all(math.isfinite(value) for value in metrics.values())
    assert 0 < found["swap"]["swap_share"] <= 1
    assert 0 <= found["vkdnw"]["vkdnw"] <= math.log(9)
    assert found["az_nas"]["az_nas_trainability"] <= 0
    assert az_nas_ranks([found["az_nas"]]) == [0.0]


@pytest.mark.slow
def test_the_spread_between_seeds_is_small_against_that_between_designs() -> None:
    designs = [
        load(f"zoo/{name}") for name in ("mobilevit_xxs", "efficientformerv2_s0", "fastvit_t8", "efficientmod_s")
    ]
    for one in ("swap", "w_pca", "zen", "naswot"):
        proxy = create(one)
        scores = [[proxy.read(look(design, proxy.fidelity, seed, 0))[one] for seed in range(3)] for design in designs]
        logs = [[math.log(value) for value in values] for values in scores]
        within = max(max(values) - min(values) for values in logs)
        means = [sum(values) / len(values) for values in logs]
        assert within < 0.5 * (max(means) - min(means))
