"""SynFlow with the flow's logarithm in place of the flow."""

from __future__ import annotations

import math

import torch

from gas.passes import Passes, Positive
from gas.proxies.base import register
from gas.proxies.grad_norm import log_of
from gas.proxies.training_free import TrainingFree


@register("log_synflow")
class LogSynflow(TrainingFree):
    """log sum |w| log(1 + |dR/d|w||), where R is what a network of absolute weights answers to an image of ones.

    The pass is SynFlow's: see `gas.passes.positive`. The extra `log_synflow_normed` is the same of a network that keeps
    its layer norms and attention.

    Source: Cavagnero et al., FreeREA: Training-Free Evolution-based Architecture Search, arXiv 2207.05135, section 3.
    Differs: the outer logarithm, which keeps the rank, and as `gas.passes.positive` says.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`log_synflow` and `log_synflow_normed`."""
        return {self.name: _score(passes.positive), f"{self.name}_normed": _score(passes.absolute)}


def _score(seen: Positive) -> float:
    parts = (
        torch.sum(seen.weights[name] * log_one_plus(gradient, seen.scale)).item()
        for name, gradient in seen.gradients.items()
    )
    return log_of(math.fsum(parts), "weights times the flow's logarithm")


def log_one_plus(values: torch.Tensor, scale: float) -> torch.Tensor:
    """log(1 + |values| exp(scale)), also where exp(scale) is beyond the range of floating point."""
    logs = values.abs().log() + scale  # minus infinity where a value is 0
    return torch.logaddexp(logs, torch.zeros_like(logs))
