"""What all training-free scores share: the passes, the seeds, reasons in place of numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
import torch
from proxies.designs import hierarchical, tiny

import gas.passes.passes
import gas.proxies.training_free as training_free
from gas.architecture import Architecture
from gas.errors import DesignError
from gas.passes import Passes, Subject
from gas.passes.passes import CHUNKS
from gas.proxies import Fidelity, create
from gas.proxies.training_free import TrainingFree, look, score_together

NAMES = ("naswot", "grad_norm", "snip", "zico", "synflow", "log_synflow", "dss")
SMALL = Fidelity(resolution=32, batch=8, seeds=2)


def made(names: tuple[str, ...] = NAMES, **fidelity: int) -> list[TrainingFree]:
    return [create(name, {"fidelity": {**SMALL.model_dump(), **fidelity}}) for name in names]


def told(read: Callable[[Passes], dict[str, float]], name: str = "told") -> TrainingFree:
    """A score that reads what it is told to."""
    score = type(name, (TrainingFree,), {"name": name, "read": lambda _, passes: read(passes)})
    return score(fidelity=SMALL)


def raising(error: Exception) -> TrainingFree:
    def read(_: Passes) -> dict[str, float]:
        raise error

    return told(read)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many networks were made, how often they ran forward (copies of them too), and how often the absolute ones."""
    count = {"fresh": 0, "forward": 0, "positive": 0, "absolute": 0}

    def forward(*_: object) -> None:
        count["forward"] += 1

    def counted(*args: object, **settings: object) -> Subject:
        count["fresh"] += 1
        subject = fresh(*args, **settings)
        subject.network.register_forward_hook(forward)
        count["forward"] = 0 if count["fresh"] == 1 else count["forward"]
        return subject

    def counting(name: str) -> Callable[..., object]:
        made = getattr(gas.passes.passes, name)

        def run(*args: object) -> object:
            count[name] += 1
            return made(*args)

        return run

    fresh = training_free.fresh
    monkeypatch.setattr(training_free, "fresh", counted)
    for name in ("positive", "absolute"):
        monkeypatch.setattr(gas.passes.passes, name, counting(name))
    return count


def test_together_they_give_the_numbers_that_each_gives_alone() -> None:
    together = score_together(made(), tiny(), seed=3)
    backwards = score_together(made(NAMES[::-1]), tiny(), seed=3)
    assert list(together) == list(NAMES)
    assert together == backwards
    for proxy in made():
        assert proxy.score(tiny(), seed=3) == together[proxy.name]


def test_every_pass_is_made_once_for_every_network(calls: dict[str, int]) -> None:
    score_together(made(seeds=3), tiny())
    assert calls == {"fresh": 3, "forward": 3 * (CHUNKS + 2), "positive": 3, "absolute": 3}


def test_passes_that_nothing_reads_are_not_made(calls: dict[str, int]) -> None:
    score_together(made(("dss",), seeds=1), tiny())
    assert calls == {"fresh": 1, "forward": 1, "positive": 0, "absolute": 1}
    score_together(made(("naswot", "zico"), seeds=1), tiny())
    assert calls == {"fresh": 2, "forward": 1 + CHUNKS, "positive": 0, "absolute": 1}


def test_the_score_is_the_mean_over_networks() -> None:
    for proxy, *singles in zip(made(seeds=2), made(seeds=1), made(seeds=1), strict=True):
        both = proxy.score(tiny(), seed=4)
        one, two = (single.score(tiny(), seed=seed) for single, seed in zip(singles, (8, 9), strict=True))
        assert one != two
        assert both == pytest.approx({name: (one[name] + two[name]) / 2 for name in both}, rel=1e-12)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no\n  such thing"), "no such thing"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (RuntimeError("linalg.eigh: did not converge"), "linalg.eigh: did not converge"),
    ],
)
def test_a_score_that_cannot_be_read_is_a_reason_and_leaves_the_others_alone(error: Exception, reason: str) -> None:
    broken = raising(error)
    found = score_together([broken, *made(("naswot",))], tiny())
    assert found["told"] == reason
    assert found["naswot"] == made(("naswot",))[0].score(tiny())
    with pytest.raises(ValueError, match=reason):
        broken.score(tiny())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    found = score_together([told(lambda _: {"told": 1.0, "told_part": value})], tiny())
    assert found == {"told": f"told_part: got {value}; expected a finite number"}


def test_a_reason_at_any_seed_is_the_reason() -> None:
    found = score_together([told(lambda passes: {"told": math.log(passes.subject.seed)})], tiny(), seed=0)
    assert isinstance(found["told"], str)  # the logarithm of 0 at the first seed
    assert score_together([told(lambda passes: {"told": 1.0 * passes.subject.seed})], tiny()) == {"told": {"told": 0.5}}


@pytest.mark.parametrize("error", [TimeoutError("out of time"), DesignError("stem", "impossible")])
def test_time_and_designs_are_no_affair_of_a_single_score(error: Exception) -> None:
    with pytest.raises(type(error)):
        score_together([raising(error)], tiny())


@pytest.mark.parametrize("name", NAMES)
def test_a_deadline_that_has_passed_stops_every_score(name: str) -> None:
    (proxy,) = made((name,))
    with pytest.raises(TimeoutError, match="out of time at"):
        proxy.score(tiny(), deadline=time.monotonic() - 1)


def test_one_fidelity_for_all() -> None:
    with pytest.raises(ValueError, match="got proxies of several fidelities; expected one"):
        score_together([*made(("naswot",)), *made(("zico",), batch=16)], tiny())


def test_nothing_to_score_is_nothing() -> None:
    assert score_together([], tiny()) == {}


def test_torch_s_own_randomness_is_left_as_it_was() -> None:
    drawing = told(lambda _: {"told": torch.rand(()).item()})
    before = torch.random.get_rng_state()
    score_together([drawing, *made()], tiny())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("design", "wished", "images"),
    [
        (tiny(resolution=64), 32, (16, 3, 32, 32)),
        (tiny(resolution=64), 30, (14, 3, 32, 32)),  # to the next multiple of 8, with as many pixels in all
        # Units of side 8 at a stride of 4 need 32 pixels, and 64 to leave 4 tokens behind three poolings.
        (hierarchical(8, (8, 8, 8, 8), (1, 1, 1, 1), heads=2), 32, (8, 3, 64, 64)),
        (tiny(resolution=32), 64, (16, 3, 32, 32)),  # never larger than the design's own
    ],
)
def test_images_are_as_small_as_the_design_can_be(design: Architecture, wished: int, images: tuple[int, ...]) -> None:
    passes = look(design, Fidelity(resolution=wished, batch=16), 0, 0)
    assert tuple(passes.subject.images.shape) == images
