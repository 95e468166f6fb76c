"""Short training: learns, repeats itself bit for bit, stops at its deadline and says when it diverges."""

from __future__ import annotations

import itertools
import math
import time

import pytest
import torch
from proxies.designs import hierarchical, tiny
from torch import nn

from gas.data import ImageData, load
from gas.model import build
from gas.proxies import create
from gas.proxies.short_training import Recipe, _groups, rate_factor, strengthen, suited_rate, train, validate

SMALL = {"width": 1.0, "images": 256, "validation": 128, "steps": 3, "batch": 32}


def test_a_tiny_design_learns_digits_far_above_chance() -> None:
    fidelity = {"width": 1.0, "images": 1024, "validation": 256, "steps": 160, "batch": 32, "rate": 2e-3}
    metrics = create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny(16))
    assert metrics["short_training"] > 0.6  # chance is 0.1
    assert metrics["short_training_loss"] < 0.6 * math.log(10)


def test_equal_seeds_give_the_same_weights_bit_for_bit() -> None:
    data = load("digits", resolution=32, images=128)
    networks = [build(tiny(), classes=10, seed=4) for _ in range(2)]
    losses = [train(n, data, Recipe(6, 32, 1e-3), seed=4) for n in networks]
    assert losses[0] == losses[1]
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_seed_draws_the_order_of_the_images() -> None:
    data = load("digits", resolution=32, images=128)
    losses = {train(build(tiny(), classes=10, seed=4), data, Recipe(6, 32, 1e-3), seed=s) for s in (0, 1)}
    assert len(losses) == 2


def test_the_global_random_state_is_left_alone() -> None:
    proxy = create("short_training", {"data": "digits", "fidelity": SMALL})
    proxy.prepare()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    proxy.score(tiny())
    assert torch.equal(torch.rand(3), expected)


def test_the_deadline_is_looked_at_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("gas.proxies.base.time.monotonic", lambda: next(clock))
    data = load("digits", resolution=32, images=64)
    with pytest.raises(TimeoutError, match="out of time at training step 5 of 50"):
        train(build(tiny(), classes=10, seed=0), data, Recipe(50, 8, 1e-3), deadline=4)


def test_a_deadline_far_off_changes_nothing() -> None:
    proxy = create("short_training", {"data": "digits", "fidelity": SMALL})
    assert proxy.score(tiny(), deadline=time.monotonic() + 1e6) == proxy.score(tiny())


def test_a_loss_that_is_no_number_is_a_failure_with_its_step() -> None:
    data = load("digits", resolution=32, images=64)
    network = build(tiny(), classes=10, seed=0)
    with torch.no_grad():
        network.head.linear.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="training diverged: the loss is nan at step 0 of 3"):
        train(network, data, Recipe(3, 32, 1e-3))
    with pytest.raises(ValueError, match="validation loss is nan"):
        validate(network, data)


def test_validation_counts_what_is_right() -> None:
    class Fixed(nn.Module):
        """Says class 1 with confidence, whatever it sees."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 2.0, 0.0]]).expand(len(x), 3)

    images = torch.zeros(300, 3, 8, 8)  # more than one batch of validation
    labels = torch.tensor([1] * 75 + [0] * 225)
    accuracy, loss = validate(Fixed(), ImageData("made", 3, images, labels, images, labels))
    assert accuracy == 0.25
    log_sum = math.log(2 + math.exp(2))
    assert loss == pytest.approx(0.25 * (log_sum - 2) + 0.75 * log_sum, rel=1e-5)


def test_classes_of_the_head_are_those_of_the_data() -> None:
    fidelity = {**SMALL, "classes": 3}
    metrics = create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny())
    assert metrics["short_training_train_loss"] == pytest.approx(math.log(3), rel=0.25)


def test_fewer_images_than_a_batch_will_do() -> None:
    fidelity = {**SMALL, "images": 12, "batch": 64, "steps": 3}
    assert create("short_training", {"data": "digits", "fidelity": fidelity}).score(tiny())["short_training"] >= 0


def test_every_image_is_seen_once_per_epoch() -> None:
    class Recorder(nn.Module):
        """Keeps the first pixel of every image it is trained on."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 2)
            self.seen: list[float] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen += x[:, 0, 0, 0].tolist()
            return self.linear(x[:, :1, 0, 0])

    images = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 3, 4, 4)
    labels = torch.arange(12) % 2
    network = Recorder()
    train(network, ImageData("made", 2, images, labels, images, labels), Recipe(6, 4, 1e-3))
    assert sorted(network.seen[:12]) == sorted(network.seen[12:]) == list(range(12))
    assert network.seen[:12] != network.seen[12:]


def test_the_rate_rises_and_falls_to_nothing() -> None:
    factors = [rate_factor(step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert max(factors) == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01
    assert rate_factor(0, 1) == 1.0


def test_larger_designs_get_smaller_rates() -> None:
    small, wide, deep = (
        hierarchical(16, (16, dim), (1, depth), head_dim=16) for dim, depth in ((32, 1), (64, 1), (32, 4))
    )
    assert suited_rate(small, 1.0) > suited_rate(wide, 1.0) > suited_rate(deep, 1.0)
    assert suited_rate(hierarchical(64, (64,), (12,), head_dim=16), 7e-4) == pytest.approx(7e-4)


def test_strengthening_touches_linear_layers_alone() -> None:
    plain, strong = (build(tiny(), classes=3, seed=0) for _ in range(2))
    strengthen(strong, 2.0)
    for (name, before), after in zip(plain.named_parameters(), strong.parameters(), strict=True):
        module = strong.get_submodule(name.rpartition(".")[0])
        factor = 2.0 if isinstance(module, nn.Linear) else 1.0
        assert torch.equal(before * factor, after), name


def test_only_matrices_decay() -> None:
    network = build(tiny(), classes=3, seed=0)
    decaying, others = _groups(network)
    assert decaying["weight_decay"] > others["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decaying["params"])
    assert any(p is network.stem.position for p in others["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(list(network.parameters()))
