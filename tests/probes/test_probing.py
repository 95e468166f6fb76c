"""What every registered probe must hold on designs of every kind, and what all of them together give."""

from __future__ import annotations

import math
import random
import time
from functools import cache

import pytest
import torch
from contributions import registered
from random_designs import random_designs

from gas.architecture import Architecture
from gas.errors import UnknownNameError
from gas.exports.rows import words
from gas.model import build
from gas.plan import plan
from gas.probes import PROBES, Subject, probe
from gas.probes.base import register
from gas.probes.subject import CLASSES, fresh
from gas.proxies.reduce import reduce
from gas.space import bundled, load, load_space

SHARES = {"saliency", "macs_share", "params_share"}
SMALL = ("efficientvit_m0", "mobilevit_xxs", "shvit_s1", "edgenext_small", "supervit_deit_small_k05")
ZOO = [name.removeprefix("zoo/") for name in bundled() if name.startswith("zoo/")]


def sound(design: Architecture, readings: tuple[dict[str, float], ...]) -> None:
    """All that holds whatever the design."""
    blocks = plan(design).blocks
    assert [r["stage"] for r in readings] == [placed.stage for placed in blocks]
    for reading in readings:
        assert {"macs_share", "params_share", "effective_rank"} <= set(reading) <= {"stage", *PROBES}
        for name, value in reading.items():
            if name != "stage":
                assert type(value) is float
                assert math.isfinite(value)
                assert -1e-9 <= value <= 1 + 1e-9, (name, value)
    for name in SHARES:
        values = [reading[name] for reading in readings if name in reading]
        assert sum(values) == pytest.approx(1.0)
    assert sum("saliency" in reading for reading in readings) >= 1


@cache
def turbovit() -> Architecture:
    return load("turbovit")


@pytest.mark.parametrize("seed", range(3))
def test_random_attention_designs_are_probed(seed: int) -> None:
    for design in random_designs(2, seed):
        sound(design, probe(design, seed=seed))


@pytest.mark.parametrize("name", SMALL)
def test_small_published_designs_are_probed(name: str) -> None:
    design = load(name)
    sound(design, probe(design))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO if name not in SMALL])
def test_published_designs_are_probed(name: str) -> None:
    design = load(name)
    sound(design, probe(design))


@pytest.mark.slow
@pytest.mark.parametrize("space", [name for name in bundled() if not name.startswith("zoo/")])
def test_designs_of_every_space_are_probed(space: str) -> None:
    for design in load_space(space).sample(6, seed=1):
        sound(design, probe(design))


def test_attention_of_every_kind_is_read_and_blocks_without_any_have_no_entropy() -> None:
    design = load("edgenext_small")  # attention over channels, written out, in some of its blocks
    attends = ["sdta" in words(placed) for placed in plan(design).blocks]
    assert 0 < sum(attends) < len(attends)
    assert ["entropy" in reading for reading in probe(design)] == attends
    assert all("entropy" in reading for reading in probe(turbovit()))  # fused attention in every block


def test_equal_seeds_give_equal_readings_and_others_others() -> None:
    design = load("efficientvit_m0")
    state = torch.random.get_rng_state()
    first = probe(design, seed=3)
    torch.manual_seed(random.randrange(1000))
    assert probe(design, seed=3) == first
    other = probe(design, seed=4)
    assert other != first
    assert [r["macs_share"] for r in other] == [r["macs_share"] for r in first]
    torch.random.set_rng_state(state)


def test_it_leaves_torch_and_the_network_as_they_were() -> None:
    design = load("mobilevit_xxs")
    before = torch.random.get_rng_state()
    subject = fresh(design)
    weights = {name: value.clone() for name, value in subject.network.named_parameters()}
    probe(design, subject=subject)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in subject.network.named_parameters())
    assert all(value.grad is None for value in subject.network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.network.modules())


def test_only_what_is_asked_for_is_read() -> None:
    readings = probe(load("shvit_s1"), names=("entropy", "macs_share"))
    assert {name for reading in readings for name in reading} == {"stage", "entropy", "macs_share"}
    with pytest.raises(UnknownNameError, match=r"probe: got 'entropie'.*did you mean 'entropy'"):
        probe(load("shvit_s1"), names=("entropie",))


def test_what_is_not_finite_is_left_out() -> None:
    def odd(blocks):
        return [math.nan, math.inf, None, *[0.5] * (len(blocks) - 3)]

    design = load("shvit_s1")
    # A function as well as a class can be registered for a test.
    with registered(PROBES, register, "gas.probes", odd=odd):
        readings = probe(design, names=("odd",))
    assert [reading.get("odd") for reading in readings] == [None, None, None, *[0.5] * (len(readings) - 3)]


def test_a_deadline_that_has_passed_stops_it() -> None:
    with pytest.raises(TimeoutError, match="out of time behind the pass forward"):
        probe(load("shvit_s1"), deadline=time.monotonic() - 1)
    assert probe(load("shvit_s1"), deadline=time.monotonic() + 3600)


def test_a_network_of_another_size_is_read_with_the_costs_of_the_design() -> None:
    """As a proxy hands over: narrower and smaller, with the same blocks."""
    design = turbovit()
    small = reduce(design, resolution=32, width=0.25)
    network = build(small, classes=CLASSES, seed=1).eval()
    readings = probe(design, subject=Subject(network, small, torch.randn(100, 3, 32, 32)))
    sound(design, readings)
    own = probe(design)
    assert [r["macs_share"] for r in readings] == [r["macs_share"] for r in own]
    assert [r["effective_rank"] for r in readings] != [r["effective_rank"] for r in own]
    # At 32 pixels the last stage has one token, and its last block no key to choose among.
    assert [n for n, r in enumerate(readings) if "entropy" not in r] == [len(readings) - 1]


def test_shares_of_cost_are_the_plan_s() -> None:
    design = turbovit()
    blocks = plan(design).blocks
    readings = probe(design, names=("macs_share", "params_share"))
    macs, params = sum(p.cost.macs for p in blocks), sum(p.cost.params for p in blocks)
    assert [(r["macs_share"], r["params_share"]) for r in readings] == [
        (p.cost.macs / macs, p.cost.params / params) for p in blocks
    ]


def test_every_probe_is_a_file_of_its_name_and_names_its_source() -> None:
    assert PROBES.names() == ["effective_rank", "entropy", "macs_share", "params_share", "saliency", "similarity"]
    for name in PROBES:
        read = PROBES.get(name)
        assert (read.__module__, read.__name__) == (f"gas.probes.{name}", name)
        assert "Source:" in read.__doc__ or name.endswith("_share")
