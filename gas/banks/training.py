"""Training a bank: in every step the largest design, the smallest and some others, all on one batch.

Shapes: B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.optim.adamw import adamw

from gas.architecture import Architecture
from gas.banks.bank import Bank, padded
from gas.banks.places import Slot
from gas.data import ImageData
from gas.errors import RunError
from gas.model import Network, build
from gas.training import rate_factor, strengthen

_CLIP, _BETAS, _EPS = 1.0, (0.9, 0.98), 1e-8
KEPT = 64
"""Built networks that are kept: the largest and the smallest design come in every step."""

Gradients = Callable[[Bank, Sequence[Architecture], Tensor, int, float], tuple[dict[str, Tensor], list[float]]]
"""(bank, reduced designs, (B,) numbers of training images, seed, share of distillation) -> gradients by key, and the
cross-entropy of each design against smoothed labels."""


@dataclass(frozen=True)
class Recipe:
    """How a bank is trained.

    Args:
        steps: Steps in all.
        batch: Images per step, the same for every design of the step.
        rate: Highest learning rate.
        designs: Designs drawn for each step, beside the largest and the smallest.
        smoothing: Share of the label that is spread over all classes.
        distillation: Share that what the largest design says has in what the others learn, in the last step; it rises
            from 0 in the first, when the largest has nothing to say yet.
        decay: Weight decay of matrices and convolutions.
        warm_up: Share of the steps in which the rate rises.
    """

    steps: int
    batch: int
    rate: float
    designs: int = 2
    smoothing: float = 0.1
    decay: float = 0.05
    warm_up: float = 0.1
    distillation: float = 1.0


@dataclass
class Moments:
    """What AdamW keeps of each tensor: means of gradients and of their squares, and steps that it had a gradient in."""

    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, Tensor] = field(default_factory=dict)

    def fit(self, key: str, like: Tensor) -> None:
        """Makes room for a tensor that is new or has grown: zeros where nothing was."""
        for table in (self.mean, self.square):
            held = table.get(key)
            if held is None:
                table[key] = torch.zeros_like(like)
            elif held.shape != like.shape:
                table[key] = padded(held, like.shape)
        self.steps.setdefault(key, torch.zeros(()))


@dataclass(frozen=True)
class Step:
    """What one step came to: its number from 0, and the losses of the largest, the smallest and the drawn designs."""

    number: int
    largest: float
    smallest: float
    drawn: float


class LocalGradients:
    """Gradients worked out in this process; see `Gradients`.

    Args:
        data: The images.
        seed: Seed of the networks' initial weights, which the bank's tensors stand in for.
        strength: Factor of the initial weights of linear layers: see `gas.training.strengthen`.
        smoothing: See `Recipe`.
    """

    def __init__(self, data: ImageData, seed: int = 0, *, strength: float = 1.0, smoothing: float = 0.1) -> None:
        self.data, self.seed, self.strength, self.smoothing = data, seed, strength, smoothing
        self.network = lru_cache(maxsize=KEPT)(self._built)

    def __call__(
        self, bank: Bank, designs: Sequence[Architecture], chosen: Tensor, seed: int, share: float
    ) -> tuple[dict[str, Tensor], list[float]]:
        """See `Gradients`. The gradient is that of the mean over the designs."""
        images, labels = self.data.train_images[chosen], self.data.train_labels[chosen]
        with torch.random.fork_rng(devices=[]):  # dropout draws from torch's global state
            torch.manual_seed(seed)
            pairs = [(self.network(design), design) for design in designs]
            networks = [(network, bank.slots(network, design)) for network, design in pairs]
            return sandwich(bank, networks, images, labels, self.smoothing, share)

    def _built(self, design: Architecture) -> Network:
        network = build(design, classes=self.data.classes, seed=self.seed)
        strengthen(network, self.strength)
        return network


def sandwich(
    bank: Bank,
    networks: Sequence[tuple[Network, Sequence[Slot]]],
    images: Tensor,
    labels: Tensor,
    smoothing: float,
    share: float,
) -> tuple[dict[str, Tensor], list[float]]:
    """Gradients and losses of several designs on one batch: the first learns the labels, the others also what it says.

    Args:
        bank: Holds what the networks need.
        networks: Each with its slots; put into training mode. The largest comes first.
        images: (B, 3, R, R).
        labels: (B,).
        smoothing: See `Recipe`.
        share: What the first says counts as much, and the labels the rest.

    Returns:
        Gradient of the mean loss, by key, of the tensors that were used; the cross-entropies against the labels.

    Source: sandwich rule and in-place distillation: BigNAS, arXiv 2003.11142, sections 3.1 and 3.2; slimmable networks,
    arXiv 1903.05134, section 3. Differs: there the others never see a label. In trainings as short as these, what an
    untrained design says holds all others back (experiments/shared_weights), so its share rises step by step.
    """
    leaves = Bank({k: t.detach().requires_grad_() for k, t in bank.tensors.items()}, segments=bank.segments)
    said, losses = None, []
    for network, wanted in networks:
        network.train()
        scores: Tensor = functional_call(network, leaves.weights(wanted), (images,))  # (B, classes)
        labelled = F.cross_entropy(scores, labels, label_smoothing=smoothing)
        loss = labelled if said is None else (1 - share) * labelled + share * F.cross_entropy(scores, said)
        (loss / len(networks)).backward()
        said = scores.detach().softmax(dim=1) if said is None else said
        losses.append(labelled.item())
    return {key: leaf.grad for key, leaf in leaves.tensors.items() if leaf.grad is not None}, losses


class Trainer:
    """Trains a bank step by step; equal arguments give equal banks, broken off and gone on with or not.

    Args:
        bank: Trained in place; grows where a design needs more than it holds.
        data: The images.
        designs: Step -> its designs, already as small as they are trained: the largest, the smallest, then others.
        recipe: How.
        seed: Seed of initial weights, of the order of the images and of dropout.
        strength: See `LocalGradients`.
        step: Steps done before.
        moments: The optimiser's, as they were then.
        gradients: How gradients are worked out; None for in this process.

    Attributes:
        step: Steps done.
        whole: False while a step is being written into the bank: what broke off then has left a bank of no step.
    """

    def __init__(
        self,
        bank: Bank,
        data: ImageData,
        designs: Callable[[int], Sequence[Architecture]],
        recipe: Recipe,
        *,
        seed: int = 0,
        strength: float = 1.0,
        step: int = 0,
        moments: Moments | None = None,
        gradients: Gradients | None = None,
    ) -> None:
        self.bank, self.data, self.designs, self.recipe, self.seed = bank, data, designs, recipe, seed
        self.step = step
        self.whole = True
        self.moments = moments or Moments()
        self._local = LocalGradients(data, seed, strength=strength, smoothing=recipe.smoothing)
        self._gradients = gradients or self._local
        self._order = lru_cache(maxsize=1)(self._permutation)

    def advance(self) -> Step:
        """One step.

        Raises:
            RunError: A loss is not finite; says at which step, and the bank is as it was before.
        """
        number, designs = self.step, self.designs(self.step)
        self.whole = False
        self.hold(designs)
        self.whole = True
        share = self.recipe.distillation * number / self.recipe.steps
        seed = mixed(self.seed, number, 1)
        gradients, losses = self._gradients(self.bank, designs, self._chosen(number), seed, share)
        for design, loss in zip(designs, losses, strict=True):
            if not math.isfinite(loss):
                expected = "a finite one; try a lower rate"
                raise RunError(
                    f"train-bank: the loss is {loss} at step {number} on design {design.id}; expected {expected}"
                )
        self.whole = False
        self._apply(gradients, self.recipe.rate * rate_factor(number, self.recipe.steps, self.recipe.warm_up))
        self.step += 1
        self.whole = True
        drawn = losses[2:] or losses[-1:]
        return Step(number, losses[0], losses[min(1, len(losses) - 1)], sum(drawn) / len(drawn))

    def hold(self, designs: Sequence[Architecture]) -> None:
        """Grows the bank until it holds what designs need."""
        for design in designs:
            network = self._local.network(design)
            wanted = self.bank.slots(network, design)
            if self.bank.lacks(wanted):
                seed = mixed(self.seed, self.step, 2)
                self.bank.grow(network, wanted, torch.Generator().manual_seed(seed))

    def _chosen(self, number: int) -> Tensor:
        """(B,) numbers of the images of a step; every epoch has an order of its own."""
        total = len(self.data.train_labels)
        batch = min(self.recipe.batch, total)
        epoch, place = divmod(number, total // batch)
        return self._order(epoch)[place * batch :][:batch]

    def _permutation(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(mixed(self.seed, epoch, 3))
        return torch.randperm(len(self.data.train_labels), generator=generator)

    def _apply(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        """One step of AdamW on the tensors that have a gradient, clipped to norm 1 all together."""
        # In an order that does not depend on the bank's history: sums of floats do.
        norms = [torch.linalg.vector_norm(gradients[key]) for key in sorted(gradients)]
        norm = float(torch.linalg.vector_norm(torch.stack(norms)))
        if not math.isfinite(norm):
            expected = "a finite one; try a lower rate"
            raise RunError(f"train-bank: the gradient's norm is {norm} at step {self.step}; expected {expected}")
        factor = min(1.0, _CLIP / (norm + 1e-6))
        torch._foreach_mul_(list(gradients.values()), factor)
        for decays in (True, False):
            keys = [key for key in gradients if (key in self.bank.decaying) == decays]
            for key in keys:
                self.moments.fit(key, self.bank.tensors[key])
            adamw(
                [self.bank.tensors[key] for key in keys],
                [gradients[key] for key in keys],
                [self.moments.mean[key] for key in keys],
                [self.moments.square[key] for key in keys],
                [],
                [self.moments.steps[key] for key in keys],
                fused=True,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=rate,
                weight_decay=self.recipe.decay if decays else 0.0,
                eps=_EPS,
                maximize=False,
            )


def mixed(*numbers: int) -> int:
    """A seed from several, in which none cancels another (SplitMix64's steps)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) % 2**64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
        state ^= state >> 31
    return state >> 1
