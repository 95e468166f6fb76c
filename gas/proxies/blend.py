"""Short training and principal components in one number: what the one overlooks, the other sees."""

from __future__ import annotations

import math
from typing import ClassVar

from gas.architecture import Architecture
from gas.proxies.base import Proxy, register
from gas.proxies.pca_count import PcaCount
from gas.proxies.short_training import ShortTraining, put_down, taken_up
from gas.training import Snapshot, Training


@register("blend")
class Blend(Proxy):
    """ln(`pca_count`) - `short_training_loss`: a tenth more components weigh as much as 0.1 nats less loss.

    A few hundred steps favour shallow designs, whatever their size; the component count favours deep and wide ones and
    says nothing about learning. On random designs the two hardly agree, and their sum goes with size where either
    alone does not (experiments/default_proxy). Its unit is of no meaning, and it is no estimate of ImageNet accuracy.

    The fidelity is that of the short training; the components are counted at `PcaCount`'s own (or the design's, where
    that is smaller), over `fidelity.seeds` initialisations.

    Source: none; the two weights are 1 because both terms are logarithms, and were fitted to nothing.
    """

    needs_training = True
    resumable = True
    accuracy = "blend_accuracy"
    default_fidelity = ShortTraining.default_fidelity.model_copy(update={"seeds": 3})
    fidelity_on: ClassVar = ShortTraining.fidelity_on

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`blend`, `blend_pca_count`, `blend_accuracy` and `blend_loss` (of the short training); and `blend_rate` where
        the fidelity has several rates."""
        return self._blended(architecture, None, seed=seed, deadline=deadline)[0]

    def resume(
        self, architecture: Architecture, state: bytes = b"", *, seed: int = 0, deadline: float | None = None
    ) -> tuple[dict[str, float], bytes]:
        """As `Proxy.resume` says; the state is that of the short training, and the count, which is made once."""
        start = taken_up(self, architecture, state, seed)
        metrics, training = self._blended(architecture, start, seed=seed, deadline=deadline)
        return metrics, put_down(self, architecture, training, seed)

    def _blended(
        self, architecture: Architecture, start: Snapshot | None, *, seed: int, deadline: float | None
    ) -> tuple[dict[str, float], Training]:
        count = self._count(architecture, start, seed, deadline)
        if count <= 0:
            raise ValueError("the blocks give out features that do not vary")
        proxy = ShortTraining(self.data, self.fidelity, seed=self.seed, images=self.images)
        proxy.inspect, proxy.device = self.inspect, self.device
        trained, training = proxy.trained(architecture, start, seed=seed, deadline=deadline)
        training.words |= {"pca_count": repr(count), "pca_seeds": str(self.fidelity.seeds)}
        loss = trained[f"{proxy.name}_loss"]
        metrics = {
            self.name: math.log(count) - loss,
            f"{self.name}_pca_count": count,
            f"{self.name}_accuracy": trained[proxy.name],
            f"{self.name}_loss": loss,
        }
        if f"{proxy.name}_rate" in trained:
            metrics[f"{self.name}_rate"] = trained[f"{proxy.name}_rate"]
        return metrics, training

    def _count(self, architecture: Architecture, start: Snapshot | None, seed: int, deadline: float | None) -> float:
        if start is not None and start.words["pca_seeds"] == str(self.fidelity.seeds):
            return float(start.words["pca_count"])
        side = min(PcaCount.default_fidelity.resolution, architecture.resolution)
        components = PcaCount(self.data, {"seeds": self.fidelity.seeds, "resolution": side}, seed=self.seed)
        components.device = self.device
        return components.score(architecture, seed=seed, deadline=deadline)[components.name]
