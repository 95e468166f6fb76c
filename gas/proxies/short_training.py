"""Train the design for a few hundred steps, smaller than it is, and see how far it gets."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

from gas.architecture import Architecture
from gas.model import Network, build
from gas.proxies.base import Fidelity, Proxy, register
from gas.proxies.reduce import reduce
from gas.training import Diverged, Recipe, Snapshot, Training, fits, strengthen, suited_rate, validate

_LEAST_TRIAL = 16


@register("short_training")
class ShortTraining(Proxy):
    """Accuracy on held-out images after a short training of the reduced design. It is no estimate of ImageNet accuracy.

    AdamW, learning rate warmed up over the first tenth of the steps and taken to 0 along a cosine, label smoothing
    0.1, weight decay 0.05 on matrices, gradients clipped to norm 1; the fidelity may say otherwise. A wider or deeper
    design gets a smaller rate, as the inverse square root of mean width times depth: one rate for all sizes ranks by
    how well it suits them. Where the fidelity has several rates, each has a trial of a tenth of the schedule (at least
    16 steps), and that with the lowest loss over the trial's second half is trained with. Linear layers start as much
    larger as the narrower sums they form call for, so that signals are as strong as in the design at its own width.

    Source: EcoNAS, arXiv 2001.01233, for reduced channels, resolution and epochs as a proxy. Which fidelity ranks
    designs in a way that means something was measured: experiments/default_proxy.
    """

    needs_training = True
    resumable = True
    accuracy = "short_training"
    default_data = "digits"
    default_fidelity = Fidelity(resolution=32, width=0.25, images=8192, validation=1024, classes=16)
    fidelity_on: ClassVar = {"digits": {"noise": 1.0}}  # without noise every design reads nearly all of them

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`short_training` (share of the validation images put right), `short_training_loss` (cross-entropy there),
        `short_training_train_loss` (mean over the last tenth of the steps, smoothed labels); and `short_training_rate`
        where the fidelity has several: the one that was trained with."""
        return self.trained(architecture, None, seed=seed, deadline=deadline)[0]

    def resume(
        self, architecture: Architecture, state: bytes = b"", *, seed: int = 0, deadline: float | None = None
    ) -> tuple[dict[str, float], bytes]:
        """As `Proxy.resume` says; the state is the weights, their moments and the random states, as safetensors."""
        start = taken_up(self, architecture, state, seed)
        metrics, training = self.trained(architecture, start, seed=seed, deadline=deadline)
        return metrics, put_down(self, architecture, training, seed)

    def trained(
        self, architecture: Architecture, start: Snapshot | None, *, seed: int, deadline: float | None
    ) -> tuple[dict[str, float], Training]:
        """The metrics, and the training as it stands after the fidelity's last step.

        Args:
            architecture: The design at its own size.
            start: Where to go on from; None for a beginning.
            seed: As for `score`.
            deadline: As for `score`.

        Raises:
            ValueError, TimeoutError, DesignError: As `score`.
        """
        data, fidelity = self.images, self.fidelity
        small = reduce(architecture, resolution=fidelity.resolution, width=fidelity.width)
        network = self._fresh(small, seed)
        if start is not None and not fits(network, start):
            start = None
        rate = self._rate(small, start, seed, deadline)
        training = Training(network, data, self._recipe(small, rate), seed=seed, device=self.device)
        if start is not None:
            training.restore(start)
        training.words["rate"] = repr(rate)
        training.run(deadline=deadline)
        accuracy, loss = validate(network, data, deadline=deadline, device=self.device)
        if self.inspect is not None:
            self.inspect(network.cpu(), small, data.val_images)
        metrics = {self.name: accuracy, f"{self.name}_loss": loss, f"{self.name}_train_loss": training.loss}
        if isinstance(fidelity.rate, tuple):
            metrics[f"{self.name}_rate"] = rate
        return metrics, training

    def _fresh(self, small: Architecture, seed: int) -> Network:
        network = build(small, classes=self.images.classes, seed=seed)
        strengthen(network, self.fidelity.width**-0.5)
        return network

    def _recipe(self, small: Architecture, rate: float) -> Recipe:
        names = ("steps", "batch", "horizon", "smoothing", "decay", "warm_up", "precision", "channels_last", "augment")
        same = {name: getattr(self.fidelity, name) for name in (*names, "deterministic")}
        return Recipe(rate=suited_rate(small, rate), **same)

    def _rate(self, small: Architecture, start: Snapshot | None, seed: int, deadline: float | None) -> float:
        """The fidelity's rate; of several, the one of the training gone on with, or the one that a trial likes best."""
        rates = self.fidelity.rate
        if not isinstance(rates, tuple):
            return rates
        if start is not None and float(start.words["rate"]) in rates:
            return float(start.words["rate"])
        if len(rates) == 1:
            return rates[0]
        losses = {rate: self._trial(small, rate, seed, deadline) for rate in rates}
        best = min(rates, key=losses.__getitem__)
        if losses[best] == math.inf:
            raise Diverged(f"training diverged: at every rate of {', '.join(f'{rate:g}' for rate in rates)}")
        return best

    def _trial(self, small: Architecture, rate: float, seed: int, deadline: float | None) -> float:
        """Mean loss over the second half of a short training with a whole schedule of its own; infinite on divergence.

        A tenth of the schedule itself would be its warm-up, and tell nothing of the rate.
        """
        recipe = self._recipe(small, rate)
        steps = min(max(_LEAST_TRIAL, recipe.schedule // 10), recipe.schedule)
        recipe = replace(recipe, steps=steps, horizon=None)
        training = Training(self._fresh(small, seed), self.images, recipe, seed=seed, device=self.device)
        try:
            training.run(deadline=deadline)
        except Diverged:
            return math.inf
        late = training.losses[steps // 2 :]
        return sum(late) / len(late)


def taken_up(proxy: Proxy, architecture: Architecture, state: bytes, seed: int) -> Snapshot | None:
    """The snapshot that a state holds; None for an empty one. ValueError where it is damaged or of another training."""
    return Snapshot.of(state, _origin(proxy, architecture, seed)) if state else None


def put_down(proxy: Proxy, architecture: Architecture, training: Training, seed: int) -> bytes:
    """What `taken_up` reads."""
    snapshot = training.snapshot()
    return Snapshot(snapshot.tensors, {**snapshot.words, **_origin(proxy, architecture, seed)}).to_bytes()


def _origin(proxy: Proxy, architecture: Architecture, seed: int) -> dict[str, str]:
    """What must be the same at every fidelity for one to go on from another."""
    return {
        "proxy": proxy.name,
        "design": architecture.id,
        "seed": str(seed),
        "data": proxy.data,
        "data_seed": str(proxy.seed),
    }
