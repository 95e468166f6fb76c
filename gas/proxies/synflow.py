"""How much signal flows through an untrained network's weights."""

from __future__ import annotations

import math

import torch

from gas.passes import Passes, Positive
from gas.proxies.base import register
from gas.proxies.grad_norm import log_of
from gas.proxies.training_free import TrainingFree


@register("synflow")
class Synflow(TrainingFree):
    """log sum |w| |dR/d|w||, where R is what a network of absolute weights answers to an image of ones.

    What norms, attention and gates become, and what keeps R in range, stands in `gas.passes.positive`: the network is
    then one of sums alone, and a layer that all signal goes through contributes R itself. The logarithm is taken
    because R grows exponentially with depth. No labels or images are used. The extra `synflow_normed` is the same of a
    network that keeps its layer norms and attention (`gas.passes.positive.absolute`): nothing is conserved there, but
    it tells more that size does not.

    Source: Tanaka et al., arXiv 2006.05467, section 5; as a score: Abdelfattah et al., arXiv 2101.08134, section 3.1.
    Differs: the logarithm, and as `gas.passes.positive` says.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`synflow` and `synflow_normed`."""
        return {self.name: _score(passes.positive), f"{self.name}_normed": _score(passes.absolute)}


def _score(seen: Positive) -> float:
    parts = (torch.sum(g.abs() * seen.weights[name]).item() for name, g in seen.gradients.items())
    return log_of(math.fsum(parts), "weights times flow") + seen.scale
