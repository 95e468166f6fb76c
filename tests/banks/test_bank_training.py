"""Training steps: gradients against autograd on a design alone, AdamW against torch's class, resumed as unbroken."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from banks.small import grown, images
from proxies.designs import hierarchical

from gas.architecture import Architecture
from gas.banks import Bank, Recipe, Trainer
from gas.banks.training import LocalGradients, mixed, sandwich
from gas.errors import RunError
from gas.training import rate_factor

RECIPE = Recipe(steps=6, batch=16, rate=1e-3)
SMALL, LARGE, MIDDLE = (
    hierarchical(d, (d, 2 * d), (depth, 1), heads=2, mask_unit=2, resolution=32)
    for d, depth in ((8, 1), (16, 2), (16, 1))
)


def designs(step: int) -> Sequence[Architecture]:
    """Largest, smallest, one between."""
    return LARGE, SMALL, MIDDLE


def test_the_gradient_is_that_of_the_mean_loss_over_the_designs() -> None:
    data, bank = images(), grown(LARGE)
    local = LocalGradients(data, smoothing=0.2)
    chosen, share = torch.arange(12), 0.25
    found, losses = local(bank, designs(0), chosen, 0, share)
    leaves = Bank({key: tensor.clone().requires_grad_() for key, tensor in bank.tensors.items()})
    total, said = torch.zeros(()), None
    for design, loss in zip(designs(0), losses, strict=True):
        network = copy.deepcopy(local.network(design)).train()
        weights = leaves.weights(leaves.slots(network, design))
        scores = torch.func.functional_call(network, weights, (data.train_images[chosen],))
        own = F.cross_entropy(scores, data.train_labels[chosen], label_smoothing=0.2)
        assert loss == pytest.approx(own.item(), rel=1e-6)
        if said is None:
            said = scores.detach().softmax(1)
            total = total + own
        else:
            told = -(said * scores.log_softmax(1)).sum(1).mean()
            total = total + (1 - share) * own + share * told
    (total / 3).backward()
    assert set(found) == {key for key, leaf in leaves.tensors.items() if leaf.grad is not None}
    for key, gradient in found.items():
        assert torch.allclose(gradient, leaves.tensors[key].grad, rtol=1e-4, atol=1e-7), key


@pytest.mark.slow
def test_one_design_alone_trains_as_torch_trains_it() -> None:
    data = images()
    trainer = Trainer(grown(LARGE), data, lambda step: (LARGE,), RECIPE)
    network = copy.deepcopy(trainer._local.network(LARGE))
    trainer.bank.fill(network, trainer.bank.slots(network, LARGE))
    decays = {s.name: s.decays for s in trainer.bank.slots(network, LARGE)}
    groups = [
        {"params": [p for n, p in network.named_parameters() if decays[n] == with_decay], "weight_decay": decay}
        for with_decay, decay in ((True, RECIPE.decay), (False, 0.0))
    ]
    optimiser = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98))
    for step in range(RECIPE.steps):
        for group in optimiser.param_groups:
            group["lr"] = RECIPE.rate * rate_factor(step, RECIPE.steps)
        chosen = trainer._chosen(step)
        network.train()
        loss = F.cross_entropy(network(data.train_images[chosen]), data.train_labels[chosen], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        assert trainer.advance().largest == pytest.approx(loss.item(), rel=1e-4)
    for slot in trainer.bank.slots(network, LARGE):
        found = trainer.bank.weights([slot])[slot.name]
        assert torch.allclose(found, dict(network.named_parameters())[slot.name], atol=2e-5), slot.name


def test_what_a_step_does_not_use_stays_as_it_is() -> None:
    bank = grown(LARGE)
    before = {key: tensor.clone() for key, tensor in bank.tensors.items()}
    Trainer(bank, images(), lambda step: (SMALL,), RECIPE).advance()
    for key, tensor in bank.tensors.items():
        assert torch.equal(tensor, before[key]) == key.startswith("stages[0].blocks[0][1]"), key


def test_a_resumed_training_is_the_unbroken_one() -> None:
    data = images()
    unbroken = Trainer(grown(SMALL), data, designs, RECIPE, seed=3)
    for _ in range(6):
        unbroken.advance()
    first = Trainer(grown(SMALL), data, designs, RECIPE, seed=3)
    for _ in range(2):
        first.advance()
    second = Trainer(first.bank, data, designs, RECIPE, seed=3, step=2, moments=first.moments)
    torch.manual_seed(99)  # what is drawn elsewhere does not matter
    for _ in range(4):
        second.advance()
    assert second.bank.tensors.keys() == unbroken.bank.tensors.keys()
    assert all(torch.equal(t, unbroken.bank.tensors[key]) for key, t in second.bank.tensors.items())


def test_a_bank_grows_in_training_and_its_moments_with_it() -> None:
    trainer = Trainer(grown(SMALL), images(), lambda step: (SMALL,) if step == 0 else (LARGE,), RECIPE)
    trainer.advance()
    kept = {key: mean.clone() for key, mean in trainer.moments.mean.items()}
    trainer.advance()
    for key, mean in trainer.moments.mean.items():
        assert mean.shape == trainer.bank.tensors[key].shape
    assert any(trainer.moments.mean[key].shape != mean.shape for key, mean in kept.items())
    assert max(float(steps) for steps in trainer.moments.steps.values()) == 2


def test_a_loss_that_is_not_finite_is_told_with_its_step_and_leaves_the_bank() -> None:
    bank = grown(LARGE)
    trainer = Trainer(bank, images(), designs, RECIPE)
    trainer.advance()
    key = next(key for key in bank.tensors if key.startswith("head"))
    bank.tensors[key].fill_(math.nan)
    with pytest.raises(RunError, match="the loss is nan at step 1 on design"):
        trainer.advance()
    assert trainer.step == 1
    assert trainer.whole


def test_epochs_show_every_image_once_each_in_another_order() -> None:
    trainer = Trainer(Bank(), images(), designs, Recipe(20, 32, 1e-3))
    first, second = (torch.cat([trainer._chosen(3 * epoch + n) for n in range(3)]).tolist() for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(96))
    assert first != second


def test_a_batch_of_more_than_all_images_is_all_images() -> None:
    assert len(Trainer(Bank(), images(), designs, Recipe(2, 1000, 1e-3))._chosen(1)) == 96


def test_mixed_seeds_tell_their_parts_apart() -> None:
    seeds = {mixed(a, b) for a in range(40) for b in range(40)}
    assert len(seeds) == 1600
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_without_distillation_all_learn_the_labels_alone() -> None:
    data, bank = images(), grown(LARGE)
    local = LocalGradients(data)
    net = [(local.network(d), bank.slots(local.network(d), d)) for d in (LARGE, SMALL)]
    batch = data.train_images[:8], data.train_labels[:8]
    both, _ = sandwich(bank, net, *batch, 0.1, 0.0)
    alone = [sandwich(bank, [one], *batch, 0.1, 0.0)[0] for one in net]
    for key, gradient in both.items():
        parts = [g[key] for g in alone if key in g]
        assert torch.allclose(gradient, sum(parts) / 2, rtol=1e-4, atol=1e-7)
