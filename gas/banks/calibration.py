"""Norm statistics of one candidate: a bank holds none, because every design sees other activations."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the statistics of all batch norms to the means over batches, and leaves the network in evaluation mode.

    Nothing runs where there is no batch norm, and the batches are then not asked for. All else stays as in evaluation,
    so dropout leaves nothing out.

    Args:
        network: Changed in place.
        batches: Images (B, 3, R, R) each; several of one size.

    Source: BigNAS, arXiv 2003.11142, section 3.5 (batch norm calibration); slimmable networks, arXiv 1903.05134,
    section 4.
    """
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, each counting the same
        norm.train()
    for images in batches:
        network(images)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.eval()
