"""Short training as a proxy: learns, goes on from a lower fidelity, and picks a rate where it is given several."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch
from proxies.designs import tiny
from safetensors.torch import load

from gas.architecture import Spec
from gas.model import build
from gas.proxies import Proxy, create
from gas.proxies.short_training import ShortTraining
from gas.training import Diverged, validate

SMALL = {"width": 1.0, "images": 256, "validation": 128, "steps": 3, "batch": 32}


def proxy(**fidelity: object) -> Proxy:
    return create("short_training", {"data": "digits", "fidelity": {**SMALL, **fidelity}})


def test_a_tiny_design_learns_digits_far_above_chance() -> None:
    fidelity = {"width": 1.0, "images": 1024, "validation": 256, "steps": 160, "batch": 32, "rate": 2e-3}
    metrics = create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny(16))
    assert metrics["short_training"] > 0.6  # chance is 0.1
    assert metrics["short_training_loss"] < 0.6 * math.log(10)


def test_the_global_random_state_is_left_alone() -> None:
    proxy = create("short_training", {"data": "digits", "fidelity": SMALL})
    proxy.prepare()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    proxy.score(tiny())
    assert torch.equal(torch.rand(3), expected)


def test_a_deadline_far_off_changes_nothing() -> None:
    proxy = create("short_training", {"data": "digits", "fidelity": SMALL})
    assert proxy.score(tiny(), deadline=time.monotonic() + 1e6) == proxy.score(tiny())


def test_classes_of_the_head_are_those_of_the_data() -> None:
    fidelity = {**SMALL, "classes": 3}
    metrics = create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny())
    assert metrics["short_training_train_loss"] == pytest.approx(math.log(3), rel=0.25)


def test_fewer_images_than_a_batch_will_do() -> None:
    fidelity = {**SMALL, "images": 12, "batch": 64, "steps": 3}
    assert create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny())["short_training"] >= 0


@pytest.mark.parametrize(("data", "loss"), [("digits", 2.298086713450824), ("procedural", 2.578350067138672)])
def test_scores_stay_what_they_were(data: str, loss: float) -> None:
    # Taken before the recipe became part of the fidelity; the default must be the very training of then.
    fidelity = {**SMALL, "steps": 24}
    metrics = create("short_training", {"data": data, "fidelity": fidelity}).score(tiny(), seed=1)
    assert metrics["short_training_loss"] == pytest.approx(loss, abs=1e-6)


def test_a_ladder_is_one_training_cut_in_three() -> None:
    whole = proxy(steps=12).score(tiny(), seed=2)
    state, seconds = b"", []
    for steps in (3, 6, 12):
        metrics, state = proxy(steps=steps, horizon=12).resume(tiny(), state, seed=2)
        assert metrics == proxy(steps=steps, horizon=12).score(tiny(), seed=2)
        seconds.append(metrics)
    assert seconds[-1] == whole
    assert seconds[0] != seconds[1] != whole


def test_a_rung_with_the_same_steps_trains_no_more() -> None:
    metrics, state = proxy().resume(tiny())
    again, same = proxy().resume(tiny(), state)
    assert again == metrics
    assert same == state


def test_at_a_larger_resolution_the_weights_are_carried() -> None:
    design = replace(tiny(), stem=Spec.of("conv_embed", dim=16, position="none"))
    _, state = proxy(steps=12, rate=5e-3).resume(design)
    # With a rate of next to nothing, what it knows at 64 pixels is what it learnt at 32.
    large = proxy(steps=13, horizon=10**6, rate=1e-12, resolution=64)
    network = build(replace(design, resolution=64), classes=10)
    network.load_state_dict({n.removeprefix("parameter/"): t for n, t in load(state).items() if "parameter/" in n})
    accuracy, loss = validate(network, large.images)
    metrics, _ = large.resume(design, state)
    assert metrics["short_training"] == accuracy
    assert metrics["short_training_loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("other", [{"width": 2.0}, {"resolution": 64}, {"classes": 5}])
def test_where_parameters_have_other_shapes_it_begins_anew(other: dict) -> None:
    # Position embeddings are among them, so another resolution is another shape.
    _, state = proxy().resume(tiny())
    assert proxy(**other).resume(tiny(), state)[0] == proxy(**other).score(tiny())


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"seed": 1}, "state: seed: got '0'; expected '1'"),
        ({"design": tiny(32)}, "state: design: got '"),
        ({"data": "procedural"}, "state: data: got 'digits'; expected 'procedural'"),
        ({"data_seed": 7}, "state: data_seed: got '0'; expected '7'"),
        ({"name": "blend"}, "state: proxy: got 'short_training'; expected 'blend'"),
    ],
)
def test_a_state_of_another_training_is_refused(changed: dict, text: str) -> None:
    _, state = proxy().resume(tiny())
    settings = {"data": changed.get("data", "digits"), "fidelity": SMALL, "seed": changed.get("data_seed", 0)}
    other = create(changed.get("name", "short_training"), settings)
    with pytest.raises(ValueError, match=text):
        other.resume(changed.get("design", tiny()), state, seed=changed.get("seed", 0))


def test_of_several_rates_the_one_that_learns_fastest_is_trained_with() -> None:
    searched = proxy(steps=32, rate=(1e-6, 2e-3, 1e-5))
    metrics = searched.score(tiny())
    assert metrics.pop("short_training_rate") == 2e-3
    assert metrics == proxy(steps=32, rate=2e-3).score(tiny())
    assert proxy(rate=(1e-3,)).score(tiny())["short_training_rate"] == 1e-3


def test_the_rate_is_searched_once_and_goes_with_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = []
    trial = ShortTraining._trial
    monkeypatch.setattr(ShortTraining, "_trial", lambda *args: trials.append(args[2]) or trial(*args))
    whole = proxy(steps=20, rate=(1e-3, 2e-3)).score(tiny())
    metrics, state = proxy(steps=5, horizon=20, rate=(1e-3, 2e-3)).resume(tiny())
    assert trials == [1e-3, 2e-3] * 2
    assert proxy(steps=20, rate=(1e-3, 2e-3)).resume(tiny(), state)[0] == whole
    assert len(trials) == 4
    assert metrics["short_training_rate"] == whole["short_training_rate"]


def test_a_rate_that_diverges_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def trial(self: ShortTraining, small: object, rate: float, *_: object) -> float:
        return math.inf if rate > bound else 1.0

    monkeypatch.setattr(ShortTraining, "_trial", trial)
    bound = 1e-3
    assert proxy(rate=(1.0, 1e-3)).score(tiny())["short_training_rate"] == 1e-3
    bound = 0.0
    with pytest.raises(Diverged, match=r"training diverged: at every rate of 1, 0\.001"):
        proxy(rate=(1.0, 1e-3)).score(tiny())


def test_a_trial_that_diverges_is_infinitely_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise Diverged("training diverged: the loss is nan")

    monkeypatch.setattr("gas.training.Training.run", run)
    assert proxy()._trial(tiny(), 1e-3, 0, None) == math.inf


def test_what_looks_at_the_network_gets_the_trained_one() -> None:
    seen = []
    watched = proxy(steps=4)
    watched.inspect = lambda network, design, images: seen.append((network.training, design, tuple(images.shape[1:])))
    _, state = watched.resume(tiny())
    watched.resume(tiny(), state)
    assert seen == [(False, tiny(), (3, 32, 32))] * 2
