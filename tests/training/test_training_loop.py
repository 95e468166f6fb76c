"""One training: repeats itself bit for bit, in one piece or in many, and says when it diverges."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from proxies.designs import tiny
from torch import nn

from gas.architecture import Architecture, Spec
from gas.data import ImageData, load
from gas.model import build
from gas.proxies.reduce import reduce
from gas.space import load_space
from gas.training import AUGMENTATIONS, PRECISIONS, Diverged, Recipe, Snapshot, Training, fits, train, validate
from gas.training.recipe import parameter_groups, rate_factor

# All that is drawn: dropout, augmentations, the order of the images over more than one epoch.
LIVELY = Recipe(13, 32, 2e-3, augment=AUGMENTATIONS, warm_up=0.3)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits", resolution=32, images=128, validation=32)


def with_dropout(design: Architecture) -> Architecture:
    return replace(design, head=Spec.of("classifier", dropout=0.3))


def zoo(name: str) -> Architecture:
    return reduce(load_space(f"zoo/{name}").sample(1, seed=0, feasible=False)[0], resolution=32, width=0.25)


def in_pieces(design: Architecture, data: ImageData, recipe: Recipe, cuts: tuple[int, ...]) -> Training:
    """A training broken off after every number of steps in `cuts`, each piece with another network, through bytes."""
    state = b""
    for steps in cuts:
        piece = replace(recipe, steps=steps, horizon=recipe.schedule)
        training = Training(build(design, classes=data.classes, seed=9), data, piece, seed=5)
        if state:
            training.restore(Snapshot.of(state, {}))
        training.run()
        validate(training.network, data)  # as a proxy does in between
        state = training.snapshot().to_bytes()
    return training


def same_state(one: Training, other: Training) -> None:
    first, second = one.snapshot(), other.snapshot()
    assert first.words == second.words
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name


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


def test_the_deadline_is_looked_at_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("gas.training.deadline.time.monotonic", lambda: next(clock))
    data = load("digits", resolution=32, images=64)
    with pytest.raises(TimeoutError, match="out of time at training step 5 of 50"):
        train(build(tiny(), classes=10, seed=0), data, Recipe(50, 8, 1e-3), deadline=4)


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


def test_it_is_the_plain_loop_written_out(digits: ImageData) -> None:
    recipe, network = Recipe(9, 32, 2e-3), build(tiny(), classes=10, seed=4)
    expected = build(tiny(), classes=10, seed=4).train()
    loss = train(network, digits, recipe, seed=3)
    optimiser = torch.optim.AdamW(parameter_groups(expected, 0.05), lr=2e-3, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, 9))
    generator = torch.Generator().manual_seed(3)
    order = torch.cat([torch.randperm(128, generator=generator) for _ in range(3)])
    for chosen in order.split(32)[:9]:
        last = F.cross_entropy(expected(digits.train_images[chosen]), digits.train_labels[chosen], label_smoothing=0.1)
        optimiser.zero_grad()
        last.backward()
        nn.utils.clip_grad_norm_(expected.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    assert loss == last.item()
    for one, other in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cuts", [(13,), (1, 13), (4, 13), (5, 9, 13), (12, 13)])  # an epoch has 4 steps
def test_in_pieces_it_is_the_unbroken_training(digits: ImageData, cuts: tuple[int, ...]) -> None:
    design = with_dropout(tiny())
    whole = Training(build(design, classes=10, seed=9), digits, LIVELY, seed=5)
    whole.run()
    pieces = in_pieces(design, digits, LIVELY, cuts)
    same_state(whole, pieces)
    assert whole.loss == pieces.loss
    assert whole.losses == pieces.losses


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"channels_last": True, "precision": "bfloat16"}])
@pytest.mark.parametrize("name", ["fastvit_t8", "shvit_s1", "qna_vit_t", "mobilenetv3_large"])
def test_in_pieces_with_norms_that_keep_statistics(digits: ImageData, name: str, options: dict) -> None:
    recipe, design = replace(LIVELY, steps=6, **options), zoo(name)
    whole = Training(build(design, classes=10, seed=9), digits, recipe, seed=5)
    whole.run()
    same_state(whole, in_pieces(design, digits, recipe, (2, 6)))


def test_dropout_and_augmentations_are_drawn_anew_in_every_piece(digits: ImageData) -> None:
    # What the test above rests on: without the random states it would not pass.
    design = with_dropout(tiny())
    for name in ("random/cpu", "random/images"):
        first = Training(build(design, classes=10, seed=9), digits, replace(LIVELY, steps=5, horizon=13), seed=5)
        first.run()
        snapshot = first.snapshot()
        stale = torch.Generator().manual_seed(0).get_state()
        second = Training(build(design, classes=10, seed=9), digits, LIVELY, seed=5)
        second.restore(Snapshot({**snapshot.tensors, name: stale}, snapshot.words))
        second.run()
        assert second.losses != in_pieces(design, digits, LIVELY, (5, 13)).losses


def test_other_images_begin_a_new_epoch_with_the_weights_of_the_old(digits: ImageData) -> None:
    first = Training(build(tiny(), classes=10, seed=9), digits, Recipe(5, 32, 1e-3, horizon=12))
    first.run()
    more = load("digits", resolution=32, images=160, validation=32)
    second = Training(build(tiny(), classes=10, seed=0), more, Recipe(12, 32, 1e-3))
    second.restore(first.snapshot())
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)
    seen: list[torch.Tensor] = []
    second.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    second.run()
    assert second.losses[:5] == first.losses
    assert second.step == 12
    # The fifth step was the first of an epoch of four; of the new data each image is seen once in five steps.
    assert len(torch.cat(seen[:5]).flatten(1).unique(dim=0)) == 160


def test_statistics_of_norms_are_carried_to_another_resolution() -> None:
    design = zoo("shvit_s1")
    sizes = [load("digits", resolution=side, images=64, validation=32) for side in (32, 64)]
    first = Training(build(design, classes=10, seed=0), sizes[0], Recipe(3, 32, 1e-3, horizon=6))
    first.run()
    network = build(replace(design, resolution=64), classes=10, seed=1)
    assert fits(network, first.snapshot())
    second = Training(network, sizes[1], Recipe(6, 32, 1e-3))
    second.restore(first.snapshot())
    for (name, one), other in zip(first.network.state_dict().items(), network.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    second.run()
    assert second.losses[:3] == first.losses


def test_only_networks_of_the_same_shapes_fit(digits: ImageData) -> None:
    training = Training(build(tiny(16), classes=10, seed=0), digits, Recipe(1, 32, 1e-3))
    training.run()
    snapshot = training.snapshot()
    assert fits(build(tiny(16), classes=10, seed=1), snapshot)
    assert not fits(build(tiny(32), classes=10), snapshot)
    assert not fits(build(tiny(16), classes=11), snapshot)


@pytest.mark.parametrize("gone", ["counts", "losses", "random/images", "parameter/head.linear.weight"])
def test_a_snapshot_with_something_missing_is_refused(digits: ImageData, gone: str) -> None:
    training = Training(build(tiny(), classes=10, seed=0), digits, Recipe(1, 32, 1e-3))
    training.run()
    snapshot = training.snapshot()
    tensors = {name: tensor for name, tensor in snapshot.tensors.items() if name != gone}
    with pytest.raises(ValueError, match="state: damaged"):
        Training(build(tiny(), classes=10, seed=0), digits, Recipe(2, 32, 1e-3)).restore(
            Snapshot(tensors, snapshot.words)
        )


def test_more_steps_than_are_wanted_are_refused(digits: ImageData) -> None:
    training = Training(build(tiny(), classes=10, seed=0), digits, Recipe(3, 32, 1e-3))
    training.run()
    with pytest.raises(ValueError, match="state: got a training of 3 steps; expected at most 2"):
        Training(build(tiny(), classes=10, seed=0), digits, Recipe(2, 32, 1e-3)).restore(training.snapshot())


class Wrong(nn.Module):
    """Ever surer of a wrong class, whatever is done to its one weight."""

    def __init__(self, growth: float) -> None:
        super().__init__()
        self.growth, self.calls = growth, 0
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (self.weight * 0 + self.growth * self.calls) * torch.tensor([1.0, 0.0, 0.0]).expand(len(x), 3)


def flat(classes: int = 3) -> ImageData:
    images, labels = torch.zeros(40, 3, 8, 8), torch.full((40,), classes - 1)
    return ImageData("made", classes, images, labels, images, labels)


def test_a_loss_that_has_blown_up_is_a_divergence() -> None:
    # The loss is near 0.97 g n after n calls: the mean of the last ten passes 1.5 ln 3 + 1 = 2.65 at some later one.
    text = (
        r"the mean loss of 10 steps is 2\.\d\d, above 1\.5 ln\(classes\) \+ 1 = 2\.65, at step \d\d of 256 \(epoch 8\)"
    )
    with pytest.raises(Diverged, match=f"training diverged: {text}"):
        train(Wrong(0.075), flat(), Recipe(256, 8, 1e-3, warm_up=0.1))


def test_before_the_rate_has_come_down_nothing_is_held_against_it() -> None:
    train(Wrong(1.0), flat(), Recipe(12, 8, 1e-3, warm_up=0.5))  # ten steps after the warm-up lie behind its end


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_the_epoch_is_told(value: float) -> None:
    class Late(Wrong):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + (value if self.calls > 7 else 0.0)

    with pytest.raises(Diverged, match=r"training diverged: the loss is nan at step 7 of 20 \(epoch 2\)"):
        train(Late(0.0), flat(), Recipe(20, 8, 1e-3))


def test_bfloat16_is_near_float32_and_keeps_its_weights_in_it(digits: ImageData) -> None:
    networks = [build(tiny(), classes=10, seed=4) for _ in range(2)]
    exact, half = (
        train(n, digits, Recipe(6, 32, 1e-3, precision=p)) for n, p in zip(networks, PRECISIONS, strict=True)
    )
    assert half == pytest.approx(exact, rel=0.02)
    assert half != exact
    assert {p.dtype for p in networks[1].parameters()} == {torch.float32}


@pytest.mark.slow
def test_channels_last_changes_the_memory_and_hardly_the_loss(digits: ImageData) -> None:
    losses = []
    for channels_last in (False, True):
        network = build(zoo("shvit_s1"), classes=10, seed=4)
        losses.append(train(network, digits, Recipe(1, 32, 1e-3, channels_last=channels_last)))
        kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and min(m.weight.shape[1:]) > 1]
        assert kernels
        assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels) == channels_last
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_strictness_is_put_back(digits: ImageData) -> None:
    seen = []

    class Watch(Wrong):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.are_deterministic_algorithms_enabled())
            return super().forward(x)

    assert not torch.are_deterministic_algorithms_enabled()
    train(Watch(0.0), flat(), Recipe(2, 8, 1e-3, deterministic=True))
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(Diverged):
        train(Watch(math.nan), flat(), Recipe(2, 8, 1e-3, deterministic=True))
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_cannot_repeat_itself_is_refused() -> None:
    class Careless(Wrong):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("put_ does not have a deterministic implementation, but you set a flag")

    with pytest.raises(
        ValueError, match="deterministic: the design needs what torch cannot repeat exactly: put_ does not"
    ):
        train(Careless(0.0), flat(), Recipe(2, 8, 1e-3, deterministic=True))


def test_deterministic_changes_no_number(digits: ImageData) -> None:
    losses = [train(build(tiny(), classes=10, seed=4), digits, Recipe(4, 32, 1e-3, deterministic=d)) for d in (0, 1)]
    assert losses[0] == losses[1]


def test_mixed_images_bear_both_labels() -> None:
    # One batch of two classes by constant scores: the loss of a mixture is that of soft labels.
    data = flat(2)
    data.train_labels[::2] = 0
    training = Training(Wrong(1.0), replace(data, classes=3), Recipe(1, 40, 1e-3, augment=("cutmix",), smoothing=0.0))
    loss = training._loss(data.train_images, data.train_labels).item()
    scores = torch.tensor([1.0, 0.0, 0.0]).log_softmax(0)
    # Both classes are equally frequent in the batch and in its permutation, whatever the share.
    assert loss == pytest.approx(-(scores[0] + scores[1]).item() / 2, rel=1e-5)
