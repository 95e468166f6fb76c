"""Micro-tasks: each a short training of its own, put together by z-scores that were measured once."""

from __future__ import annotations

import csv
import math
import re
import time
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch
from proxies.designs import tiny

import gas
from gas.data.tasks import TASKS
from gas.errors import SettingError
from gas.proxies import create
from gas.proxies.micro_tasks import REFERENCE, MicroTasks
from gas.training import Diverged, Recipe, strengthen, suited_rate, train, validate

SMALL = {"width": 1.0, "images": 256, "validation": 64, "steps": 3, "batch": 16}


def proxy(**fidelity: object) -> MicroTasks:
    return create("micro_tasks", {"data": "digits", "fidelity": {**SMALL, **fidelity}})


def test_the_score_is_the_mean_z_of_the_tasks_losses() -> None:
    metrics = proxy().score(tiny(), seed=1)
    scores = [(REFERENCE[t][0] - metrics[f"micro_tasks_{t}_loss"]) / REFERENCE[t][1] for t in TASKS]
    assert metrics["micro_tasks"] == pytest.approx(mean(scores), rel=1e-12)
    assert set(metrics) == {"micro_tasks", *(f"micro_tasks_{t}{e}" for t in TASKS for e in ("", "_loss"))}


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_a_training_on_its_own_images(task: str) -> None:
    scored = proxy(width=0.5).score(tiny(32), seed=2)
    images = TASKS[task](gas.data.load("digits", resolution=32, images=256, validation=64), images=48, validation=64)
    small = gas.proxies.reduce.reduce(tiny(32), resolution=32, width=0.5)
    network = gas.build(small, classes=images.classes, seed=2)
    strengthen(network, 0.5**-0.5)
    train(network, images, Recipe(steps=3, batch=16, rate=suited_rate(small, 7e-4)), seed=2)
    accuracy, loss = validate(network, images)
    assert scored[f"micro_tasks_{task}"] == accuracy
    assert scored[f"micro_tasks_{task}_loss"] == loss


def test_several_initialisations_are_averaged() -> None:
    both = proxy(seeds=2).score(tiny(), seed=3)
    each = [proxy().score(tiny(), seed=seed) for seed in (6, 7)]
    assert both == pytest.approx({name: mean(one[name] for one in each) for name in both})


@pytest.mark.slow
def test_a_tiny_design_learns_both() -> None:
    metrics = proxy(images=1024, validation=256, steps=200, batch=32, rate=2e-3).score(tiny(16))
    assert metrics["micro_tasks_patch_order"] > 4 / 24
    assert metrics["micro_tasks_rotation"] > 2 / 4
    assert metrics["micro_tasks_patch_order_loss"] < 0.8 * math.log(24)


def test_a_task_whose_training_diverges_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverges(self: object, *args: object, **named: object) -> None:
        if self.images.classes == 4:
            raise Diverged("training diverged: the loss is nan at step 1 of 3 (epoch 1)")

    monkeypatch.setattr("gas.training.loop.Training.run", diverges)
    monkeypatch.setattr("gas.training.loop.Training.images", property(lambda self: self.data), raising=False)
    monkeypatch.setattr("gas.training.loop.Training.loss", 0.0)
    with pytest.raises(ValueError, match="rotation: training diverged: the loss is nan at step 1"):
        proxy().score(tiny())


def test_a_deadline_is_kept_in_every_task() -> None:
    made = proxy(steps=10**6)
    made.prepare()
    with pytest.raises(TimeoutError, match="training step"):
        made.score(tiny(), deadline=time.monotonic() + 0.3)


def test_images_of_an_odd_side_are_refused_before_any_design() -> None:
    with pytest.raises(SettingError, match=r"fidelity.resolution: got 33; expected an even number"):
        proxy(resolution=33).prepare()


def test_the_global_random_state_is_left_alone() -> None:
    made = proxy()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    made.score(tiny())
    assert torch.equal(torch.rand(3), expected)


def test_the_reference_is_what_the_experiment_measured() -> None:
    file = Path(__file__).parents[2] / "experiments/micro_tasks/reference.csv"
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 8
    for task, (middle, deviation) in REFERENCE.items():
        losses = [float(row[f"micro_tasks_{task}_loss"]) for row in rows]
        assert middle == pytest.approx(mean(losses), abs=1e-3)
        assert deviation == pytest.approx(stdev(losses), abs=1e-3)


def test_probes_see_a_network_that_was_trained() -> None:
    made, seen = proxy(), []
    made.inspect = lambda *given: seen.append(given)
    made.score(tiny())
    assert len(seen) == len(TASKS)
    assert all(re.match("Network", type(network).__name__) and not network.training for network, *_ in seen)
