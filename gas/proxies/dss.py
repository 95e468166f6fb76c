"""How varied the signal through token mixers is, and how much hangs on the other weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from gas.passes import Passes
from gas.proxies.base import register
from gas.proxies.grad_norm import log_of
from gas.proxies.training_free import TrainingFree


@register("dss")
class Dss(TrainingFree):
    """log(sum |dR/dW|_* |W|_* over token mixers + sum |W dR/dW| over all other layers).

    R is what the network of absolute weights answers to an image of ones, its layer norms and attention as they are:
    see `gas.passes.positive.absolute`. |.|_* is the nuclear norm of a weight as a matrix with a row per output (so a
    depthwise kernel is a row). Extras are the logarithms of the two sums, `dss_mixers` and `dss_others`, where there
    are such layers.

    What a token mixer is: see `token_mixers`.

    Source: Zhou et al., Training-free Transformer Architecture Search, arXiv 2203.12217, section 3: synaptic diversity
    of attention's linear layers, synaptic saliency of those of MLPs; its public code adds patch embedding and head to
    the second. Differs: all patterns of the language are covered, convolutions too; batch
    norms as `absolute` has them; the logarithm, which keeps the rank.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`dss`, `dss_mixers` and `dss_others`."""
        seen = passes.absolute
        mixers = token_mixers(passes.subject.network, (site.module for site in passes.subject.blocks))
        sums: dict[str, list[float]] = {"mixers": [], "others": []}
        for name, gradient in seen.gradients.items():
            passes.check("nuclear norms")
            if name.removesuffix(".weight") in mixers:
                sums["mixers"].append(nuclear_norm(gradient) * nuclear_norm(seen.weights[name]))
            else:
                sums["others"].append(torch.sum((gradient * seen.weights[name]).abs()).item())
        totals = {part: math.fsum(values) for part, values in sums.items()}
        found = {self.name: log_of(sum(totals.values()), "diversity and saliency")}
        return found | {f"{self.name}_{part}": math.log(v) for part, v in totals.items() if v > 0}


def token_mixers(network: nn.Module, blocks: Iterable[nn.Module]) -> set[str]:
    """Names of the linear layers and convolutions that are part of a token mixer.

    A layer belongs to the innermost module around it that is called `token_mixer` or `channel_mixer`, or whose class is
    named an attention. In a block without such names (inverted residuals, strided convolutions between stages) what
    mixes tokens is what a convolution wider than one place does. Outside of the blocks (stem, head) nothing does.
    """
    inside = {module for block in blocks for module in block.modules()}
    modules = dict(network.named_modules())
    found = set()
    for name, module in modules.items():
        if module in inside and isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            mixes = _told(name, modules)
            if mixes is None:
                mixes = not isinstance(module, nn.Linear) and max(module.kernel_size) > 1
            if mixes:
                found.add(name)
    return found


def _told(name: str, modules: Mapping[str, nn.Module]) -> bool | None:
    """Whether the modules around a layer say that it mixes tokens; None where they say nothing."""
    while name:
        own = name.rpartition(".")[2]
        if own in ("token_mixer", "channel_mixer"):
            return own == "token_mixer"
        if "attention" in type(modules[name]).__name__.lower():
            return True
        name = name.rpartition(".")[0]
    return None


def nuclear_norm(weight: Tensor) -> float:
    """The sum of the singular values of a weight, (out, ...) as a matrix (out, rest)."""
    matrix = weight.flatten(1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    # Through the smaller Gram matrix, ten times as fast as the singular values themselves. What rounding does to the
    # least of them (1e-8 of the greatest) cannot be seen in their sum.
    return torch.linalg.eigvalsh(matrix @ matrix.T).clamp_min(0).sqrt().sum().item()
