"""Train the design for a few hundred steps, smaller than it is, and see how far it gets.

Shapes: B batch, R side of an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.data import ImageData
from gas.model import build
from gas.proxies.base import Fidelity, Proxy, check_deadline, register
from gas.proxies.reduce import reduce

_WARM_UP, _DECAY, _SMOOTHING, _CLIP = 0.1, 0.05, 0.1, 1.0


@register("short_training")
class ShortTraining(Proxy):
    """Accuracy on held-out images after a short training of the reduced design. It is no estimate of ImageNet accuracy.

    AdamW, learning rate warmed up over the first tenth of the steps and taken to 0 along a cosine, label smoothing
    0.1, weight decay 0.05 on matrices, gradients clipped to norm 1. A wider or deeper design gets a smaller rate, as
    the inverse square root of mean width times depth: one rate for all sizes ranks by how well it suits them. Linear
    layers start as much larger as the narrower sums they form call for, so that signals are as strong as in the design
    at its own width.

    Source: EcoNAS, arXiv 2001.01233, for reduced channels, resolution and epochs as a proxy. Which fidelity ranks
    designs in a way that means something was measured: experiments/default_proxy.
    """

    needs_training = True
    accuracy = "short_training"
    default_data = "digits"
    default_fidelity = Fidelity(resolution=32, width=0.25, images=8192, validation=1024, classes=16)
    fidelity_on: ClassVar = {"digits": {"noise": 1.0}}  # without noise every design reads nearly all of them

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`short_training` (share of the validation images put right), `short_training_loss` (cross-entropy there),
        `short_training_train_loss` (mean over the last tenth of the steps, smoothed labels)."""
        data, fidelity = self.images, self.fidelity
        small = reduce(architecture, resolution=fidelity.resolution, width=fidelity.width)
        network = build(small, classes=data.classes, seed=seed)
        strengthen(network, fidelity.width**-0.5)
        recipe = Recipe(fidelity.steps, fidelity.batch, suited_rate(small, fidelity.rate))
        with torch.random.fork_rng(devices=[]):  # dropout draws from torch's global state
            torch.manual_seed(seed)
            train_loss = train(network, data, recipe, seed=seed, deadline=deadline)
        accuracy, loss = validate(network, data, deadline=deadline)
        if self.inspect is not None:
            self.inspect(network, small, data.val_images)
        return {self.name: accuracy, f"{self.name}_loss": loss, f"{self.name}_train_loss": train_loss}


def suited_rate(architecture: Architecture, rate: float) -> float:
    """`rate` as it suits the design: times the square root of (12 blocks x width 64) / (sum of the blocks' widths)."""
    return rate * math.sqrt(12 * 64 / sum(d * n for d, n in zip(architecture.dims, architecture.depths, strict=True)))


def strengthen(network: nn.Module, factor: float) -> None:
    """Multiplies the weights of all linear layers, in place."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(factor)


@dataclass(frozen=True)
class Recipe:
    """How to train: steps, images per step, highest learning rate."""

    steps: int
    batch: int
    rate: float


def train(
    network: nn.Module, data: ImageData, recipe: Recipe, *, seed: int = 0, deadline: float | None = None
) -> float:
    """Trains in place; returns the mean loss over the last tenth of the steps.

    Raises:
        ValueError: The loss is not finite; says at which step.
        TimeoutError: The deadline has passed; says at which step.
    """
    network.train()
    optimiser = torch.optim.AdamW(_groups(network), lr=recipe.rate, betas=(0.9, 0.98), fused=True)
    total = len(data.train_labels)
    batch = min(recipe.batch, total)
    per_epoch = total // batch  # the images left over are others in every epoch
    steps = recipe.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, steps))
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    for step in range(steps):
        check_deadline(deadline, f"training step {step} of {steps}")
        if step % per_epoch == 0:
            order = torch.randperm(total, generator=generator)
        chosen = order[step % per_epoch * batch :][:batch]
        scores = network(data.train_images[chosen])  # (B, classes)
        loss = F.cross_entropy(scores, data.train_labels[chosen], label_smoothing=_SMOOTHING)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"training diverged: the loss is {losses[-1]} at step {step} of {steps}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        schedule.step()
    last = losses[-max(steps // 10, 1) :]
    return sum(last) / len(last)


def rate_factor(step: int, steps: int) -> float:
    """Learning rate at `step` of `steps` as a share of the highest: linear warm-up, then half a cosine to 0."""
    warm = max(round(_WARM_UP * steps), 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


@torch.inference_mode()
def validate(network: nn.Module, data: ImageData, *, deadline: float | None = None) -> tuple[float, float]:
    """(share of the validation images put right, mean cross-entropy); ValueError where a score is not finite."""
    network.eval()
    right, loss = 0, 0.0
    for images, labels in zip(data.val_images.split(256), data.val_labels.split(256), strict=True):
        check_deadline(deadline, "validation")
        scores: Tensor = network(images)  # (B, classes)
        right += int((scores.argmax(dim=1) == labels).sum())
        loss += F.cross_entropy(scores, labels, reduction="sum").item()
    if not math.isfinite(loss):
        raise ValueError(f"the validation loss is {loss}")
    return right / len(data.val_labels), loss / len(data.val_labels)


def _groups(network: nn.Module) -> list[dict]:
    """Matrices and convolutions decay; norms, biases and position embeddings do not."""
    matrices, others = [], []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            decays = name == "weight" and parameter.ndim > 1
            (matrices if decays else others).append(parameter)
    return [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
