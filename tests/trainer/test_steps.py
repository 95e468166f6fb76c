"""The steps of a training: against a loop written out here, broken off anywhere, shared out, and diverging."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from trainer.small_training import LIVELY, design, digits, run, trainer

from gas.errors import RunError, SettingError
from gas.model import build
from gas.trainer.drawing import order_of, seed_of
from gas.trainer.recipe import TrainingRecipe
from gas.trainer.teacher import Teacher
from gas.training import Snapshot


def same_weights(one, other) -> None:
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    if one.mean:
        for name, tensor in one.mean.tensors.items():
            assert torch.equal(tensor, other.mean.tensors[name]), name


def test_it_is_the_loop_that_is_written_out_here():
    recipe = TrainingRecipe(epochs=2, batch=32, rate=1e-3, warm_epochs=1, smoothing=0.1, clip=0.5, decay=0.1)
    made = run(trainer(recipe))

    images, network = digits(), build(design(), classes=10, seed=0)
    matrices = [m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    rest = [p for p in network.parameters() if all(p is not m for m in matrices)]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999))
    pixels, labels = images._parts[0]
    inputs = (pixels - images.scale[0]) / images.scale[1]
    for step in range(6):
        order = order_of(0, step // 3, 96)
        chosen = order[step % 3 * 32 :][:32]
        loss = F.cross_entropy(network(inputs[chosen]), labels[chosen], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(step, 6, 3)
        optimiser.step()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(made.network.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    assert made.loss == pytest.approx(loss.item(), rel=1e-4)
    network.eval()
    held, theirs = images._parts[1]
    with torch.no_grad():
        scores = network((held - images.scale[0]) / images.scale[1])
    right = (scores.argmax(dim=1) == theirs).float().mean().item()
    among = (scores.argsort(dim=1, descending=True)[:, :5] == theirs[:, None]).any(dim=1).float().mean().item()
    assert made.rows[-1]["top1"] == pytest.approx(right)
    assert made.rows[-1]["top5"] == pytest.approx(among)
    assert made.rows[-1]["val_loss"] == pytest.approx(F.cross_entropy(scores, theirs).item(), rel=1e-3)


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_broken_off_anywhere_it_comes_to_the_same_weights(cut):
    whole = run(trainer(LIVELY))
    torch.manual_seed(cut)  # whatever torch's own state is
    first = run(trainer(LIVELY), until=cut)
    state = first.snapshot({"design": "x"}).to_bytes()
    second = trainer(LIVELY)
    second.restore(Snapshot.of(state, {"design": "x"}))
    assert second.step == cut
    run(second)
    same_weights(whole, second)
    times = ("images_per_s", "seconds")
    rows = [[{k: v for k, v in row.items() if k not in times} for row in made.rows] for made in (whole, second)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == LIVELY.epochs


def test_torchs_own_state_is_left_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(trainer(LIVELY), until=2)
    assert torch.equal(before, torch.get_rng_state())


def test_another_seed_is_another_training():
    first, other = (run(trainer(LIVELY.model_copy(update={"seed": seed})), until=1) for seed in (0, 1))
    assert not torch.equal(first.network.stem.conv.weight, other.network.stem.conv.weight)
    assert not torch.equal(order_of(0, 0, 50), order_of(1, 0, 50))
    assert not torch.equal(order_of(0, 0, 50), order_of(0, 1, 50))
    assert len({seed_of(0, word, at) for word in ("order", "dropout") for at in range(50)}) == 100


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    """With accumulation, and over two workers that are played one after the other here."""
    recipe = LIVELY.model_copy(update={"drop_path": 0.0, "mixup": 0.4, "cutmix": 0.0})
    whole = gradients([trainer(recipe)])
    in_parts = gradients([trainer(recipe.model_copy(update={"accumulate": 2}))])
    shared = gradients([trainer(recipe, rank=rank, world=2) for rank in range(2)])
    for name, gradient in whole.items():
        torch.testing.assert_close(in_parts[name], gradient, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(shared[name], gradient, rtol=1e-4, atol=1e-6)


def gradients(workers: list) -> dict[str, torch.Tensor]:
    """The mean over the workers of the first step's gradients."""
    summed: dict[str, torch.Tensor] = {}
    for made in workers:
        stream = made._epoch_stream()
        for part in range(made.recipe.accumulate):
            number = made.workers.rank * made.recipe.accumulate + part
            (made._loss(*next(stream), number) / made.recipe.accumulate / len(workers)).backward()
        for name, parameter in made.network.named_parameters():
            summed[name] = summed.get(name, 0) + parameter.grad
    return summed


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(SettingError, match=r"^batch: got 32; expected a multiple of 3 \(3 workers x 1 parts\)$"):
        trainer(LIVELY, world=3)


def test_fewer_images_than_a_batch_make_a_smaller_one():
    made = trainer(LIVELY.model_copy(update={"batch": 1000}))
    assert (made.batch, made.per_epoch, made.total) == (96, 1, 3)


def test_the_mean_weights_are_evaluated_and_given_out():
    made = run(trainer(LIVELY.model_copy(update={"ema": 0.5})))
    assert {"top1", "ema_top1", "ema_val_loss"} <= made.rows[0].keys()
    assert made.weights().keys() == made.network.state_dict().keys()
    assert not torch.equal(made.weights()["head.norm.weight"], made.network.state_dict()["head.norm.weight"])
    plain = run(trainer(LIVELY.model_copy(update={"ema": None})), until=3)
    assert "ema_top1" not in plain.rows[0]


def test_divergence_is_told_with_step_and_epoch():
    recipe = TrainingRecipe(epochs=40, batch=32, rate=1e4, warm_epochs=0, clip=None)
    with pytest.raises(RunError, match=r"^training diverged: .* at step \d+ of 120 \(epoch \d+ of 40\); a lower rate"):
        run(trainer(recipe))


def test_a_damaged_checkpoint_is_told_of():
    made = run(trainer(LIVELY), until=1)
    snapshot = made.snapshot({})
    with pytest.raises(RunError, match="resume: the checkpoint is damaged"):
        trainer(LIVELY).restore(Snapshot(dict(list(snapshot.tensors.items())[1:]), snapshot.words))
    with pytest.raises(RunError, match="resume: the checkpoint is damaged"):
        trainer(LIVELY).restore(Snapshot(snapshot.tensors, {}))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_the_teachers_part_of_the_loss_is_that_of_its_definition(kind):
    recipe = TrainingRecipe(epochs=2, batch=32, distil=kind, distil_share=0.25, temperature=2.0, smoothing=0.0)
    images = digits()
    network = build(design(), classes=10, seed=7)
    teacher = Teacher(network, "t", 16, (images.mean, images.deviation))
    made = trainer(recipe, images=images, teacher=teacher)
    pixels, labels = next(made._epoch_stream())
    loss = made._loss(pixels, labels, 0)
    inputs = (pixels - images.scale[0]) / images.scale[1]
    scores, theirs = made.network(inputs), network(inputs)
    own = F.cross_entropy(scores, labels)
    if kind == "hard":
        other = F.cross_entropy(scores, theirs.argmax(dim=1))
    else:
        p, q = (theirs / 2).softmax(dim=1), (scores / 2).softmax(dim=1)
        other = 4 * (p * (p / q).log()).sum(dim=1).mean()
    torch.testing.assert_close(loss, 0.75 * own + 0.25 * other, rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_bfloat16_and_channels_last_train_too():
    recipe = LIVELY.model_copy(update={"precision": "bfloat16", "channels_last": True})
    made = run(trainer(recipe), until=3)
    assert torch.isfinite(torch.tensor(made.loss))
    assert made.network.stem.conv.weight.dtype == torch.float32
