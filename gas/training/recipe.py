"""How to train: the numbers, the learning rate over the steps and over designs, and what decays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from gas.architecture import Architecture

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        steps: Training steps.
        batch: Images per step; fewer where there are fewer.
        rate: Highest learning rate.
        horizon: Steps of the learning rate's schedule, where the training stops before its end; None for `steps`.
        smoothing: Share of the label that is spread over all classes.
        decay: Weight decay of matrices and convolutions, as AdamW has it.
        warm_up: Share of the schedule in which the rate rises.
        precision: `bfloat16` runs the forward pass under autocast; weights, loss and optimiser stay in float32, and on
            a CPU the convolutions too (see `gas.training.casting`).
        channels_last: Images and convolutions in channels-last memory format.
        augment: Names in `gas.training.augment.AUGMENTATIONS`, in the order in which they are done.
        deterministic: Refuse operations of torch that need not repeat themselves.
    """

    steps: int
    batch: int
    rate: float
    horizon: int | None = None
    smoothing: float = 0.1
    decay: float = 0.05
    warm_up: float = 0.1
    precision: str = "float32"
    channels_last: bool = False
    augment: tuple[str, ...] = ()
    deterministic: bool = False

    @property
    def schedule(self) -> int:
        """Steps after which the learning rate is 0."""
        return self.steps if self.horizon is None else self.horizon

    @property
    def warm_steps(self) -> int:
        """Steps in which the learning rate rises."""
        return _warm_steps(self.schedule, self.warm_up)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, the first of which is 0."""
        return self.rate * rate_factor(step, self.schedule, self.warm_up)


def rate_factor(step: int, steps: int, warm_up: float = 0.1) -> float:
    """Learning rate at `step` of `steps` as a share of the highest: linear warm-up, then half a cosine to 0."""
    warm = _warm_steps(steps, warm_up)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def _warm_steps(steps: int, warm_up: float) -> int:
    return max(round(warm_up * steps), 1)


def suited_rate(architecture: Architecture, rate: float) -> float:
    """`rate` as it suits the design: times the square root of (12 blocks x width 64) / (sum of the blocks' widths)."""
    return rate * math.sqrt(12 * 64 / sum(d * n for d, n in zip(architecture.dims, architecture.depths, strict=True)))


def strengthen(network: nn.Module, factor: float) -> None:
    """Multiplies the weights of all linear layers, in place."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(factor)


def parameter_groups(network: nn.Module, decay: float) -> list[dict]:
    """Matrices and convolutions decay; norms, biases and position embeddings do not."""
    matrices, others = [], []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            decays = name == "weight" and parameter.ndim > 1
            (matrices if decays else others).append(parameter)
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
