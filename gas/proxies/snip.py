"""How much the loss of an untrained network hangs on its weights."""

from __future__ import annotations

import math

import torch

from gas.passes import Passes
from gas.proxies.base import register
from gas.proxies.grad_norm import log_of
from gas.proxies.training_free import TrainingFree


@register("snip")
class Snip(TrainingFree):
    """log sum |w dL/dw| over the weights of all linear layers and convolutions.

    L is the mean cross-entropy of all images with random labels.

    Source: Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, arXiv 1810.02340, section 4;
    summed to a score by Abdelfattah et al., arXiv 2101.08134, section 3.1. Differs: the logarithm, which keeps the
    rank and is nearer to a straight line in accuracy; images are Gaussian noise.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`snip`."""
        weights = passes.weights
        parts = (
            (gradient * weights[name].detach()).abs().sum(dtype=torch.float64).item()
            for name, gradient in passes.gradient.items()
        )
        return {self.name: log_of(math.fsum(parts), "weights times gradients")}
