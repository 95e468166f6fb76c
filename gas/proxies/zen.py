"""How far a small change of the images moves an untrained network's features.

Shapes: B images, C channels, H, W.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gas.passes import Passes, Subject
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree

STEP = 0.01  # deviation of the change, in deviations of the images
NORMS = (F.batch_norm, F.layer_norm, F.group_norm)


@register("zen")
class Zen(TrainingFree):
    """log E|f(x) - f(x + 0.01 z)| + sum over norms of log sqrt(mean variance of what comes in).

    f is what the last block gives out, weights are N(0, 1), x and z Gaussian noise. The second term puts back what
    norms divide by, and is most of the score: about half the logarithm of the inputs of every layer before a norm.

    Source: Zen-NAS, arXiv 2102.01063, algorithm 1, and its public code. Differs: residual branches stay
    residual, where the paper takes the shortcuts out; layer and group norms, which its networks lack, are put back like
    batch norms; the distance is Euclidean, as in the paper, not the code's sum of absolute differences; batch norms
    take the statistics of x in both passes.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`zen`, and its terms `zen_distance` and `zen_norms`."""
        subject = passes.subject
        network, last = gaussian(subject, passes.generator(11))
        moved = subject.images + STEP * torch.randn(subject.images.shape, generator=passes.generator(12))
        norms = _Norms()
        seen: list[tuple[Tensor, int]] = []  # what went out, and how many norms had run
        hook = last.register_forward_hook(lambda _, __, output: seen.append((output, len(norms.scales))))
        try:
            with torch.no_grad(), norms:
                network(subject.images)
                passes.check("the second pass")
                network.eval()  # batch norms keep the statistics that they have
                network(moved)
        finally:
            hook.remove()
        (first, count), (second, _) = seen
        distance = (first - second).flatten(1).double().norm(dim=1).mean().item()
        if not 0 < distance < math.inf:
            raise ValueError(f"the features moved by {distance}; expected a finite distance above 0")
        terms = {f"{self.name}_distance": math.log(distance), f"{self.name}_norms": math.fsum(norms.scales[:count])}
        return {self.name: math.fsum(terms.values()), **terms}


def gaussian(subject: Subject, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
    """A copy of the network with weights from N(0, 1), its batch norms ready to take statistics; and its last block."""
    network, last = copy.deepcopy((subject.network, subject.blocks[-1].module))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                module.weight.normal_(generator=generator)
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
                module.momentum = None
                module.train()
    return network, last


class _Norms(TorchFunctionMode):
    """Notes log sqrt(mean variance) of what comes into each norm.

    Attributes:
        scales: One per norm that ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scales: list[float] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in NORMS:
            variance = mean_variance(func, *args[:2])
            if not 0 < variance < math.inf:
                raise ValueError(f"a norm has a variance of {variance} to put back; expected a finite one above 0")
            self.scales.append(0.5 * math.log(variance))
        return func(*args, **kwargs)


def mean_variance(norm: Callable[..., Tensor], x: Tensor, over: Any = None) -> float:
    """Mean of the variances of all the groups of features that a norm makes alike.

    Args:
        norm: One of NORMS.
        x: What comes in, the batch first.
        over: The norm's second argument: shape of a layer norm, number of groups of a group norm.
    """
    if norm is F.layer_norm:
        groups = x.flatten(-len(over))
    elif norm is F.group_norm:
        groups = x.unflatten(1, (over, -1)).flatten(2)  # (B, groups, features)
    else:
        groups = x.transpose(0, 1).flatten(1)  # (C, B x places)
    return groups.double().var(dim=-1, correction=0).mean().item()
