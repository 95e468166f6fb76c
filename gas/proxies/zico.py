"""How large gradients are against how much they differ from batch to batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gas.passes import Passes
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree


@register("zico")
class Zico(TrainingFree):
    """Sum over layers of log sum_w mean |g_w| / std g_w, over the gradients of several small batches.

    Layers are linear layers and convolutions. Weights whose gradient is the same in all batches are left out, and so is
    a layer in which there are no others. The standard deviation is the population's (divided by the number of batches).

    Source: Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients, arXiv 2301.11300, section
    3.3, as its public code computes it (`compute_zico.py` of github.com/SLDGroup/ZiCo): the standard deviation is of g
    with its sign, where the paper's formula has |g|. Differs: four batches of noise with random labels, not two of the
    training data; batch norms stay in evaluation mode.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`zico`."""
        chunks = passes.shared.gradients
        if len(chunks) < 2:
            raise ValueError(f"got {len(chunks)} batch of images; expected two at least")
        logs = []
        for name in chunks[0]:
            ratios = ratio_sum([chunk[name] for chunk in chunks])
            if ratios > 0:
                logs.append(math.log(ratios))
        if not logs:
            raise ValueError("no weight's gradient differs between batches")
        return {self.name: math.fsum(logs)}


def ratio_sum(gradients: Sequence[Tensor]) -> float:
    """Gradients of one layer, one per batch -> the sum over its weights of mean |g| / std g, where that is not 0."""
    count = len(gradients)
    # The ratio knows no scale, but squares of small gradients would leave the range of float32.
    largest = max(gradient.abs().max().item() for gradient in gradients)
    if largest == 0:
        return 0.0
    scaled = [gradient / largest for gradient in gradients]
    mean = sum(scaled) / count
    spread = sum(((gradient - mean).square_() for gradient in scaled), torch.zeros_like(mean)) / count
    size = sum((gradient.abs_() for gradient in scaled), torch.zeros_like(mean)) / count
    return torch.where(spread > 0, size / spread.sqrt(), 0.0).sum(dtype=torch.float64).item()
