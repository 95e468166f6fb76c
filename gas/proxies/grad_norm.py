"""How large the gradients of an untrained network's weights are."""

from __future__ import annotations

import math

from gas.passes import Passes
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree


@register("grad_norm")
class GradNorm(TrainingFree):
    """log of the sum, over the weights of all linear layers and convolutions, of the L2 norm of the loss's gradient.

    The loss is the mean cross-entropy of all images with random labels.

    Source: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, arXiv 2101.08134, section 3.1 (and its public
    code). Differs: the logarithm, which keeps the rank and is nearer to a straight line in accuracy; images are
    Gaussian noise.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`grad_norm`."""
        norms = (gradient.double().norm().item() for gradient in passes.gradient.values())
        return {self.name: log_of(math.fsum(norms), "the gradients")}


def log_of(total: float, what: str) -> float:
    """Natural logarithm of a sum; ValueError where it is not a finite number above 0."""
    if not (math.isfinite(total) and total > 0):
        raise ValueError(f"{what}: got a sum of {total}; expected a finite number above 0")
    return math.log(total)
