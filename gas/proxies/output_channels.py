"""How many features the layers of a design work out, all together."""

from __future__ import annotations

import torch
from torch import nn

from gas.architecture import Architecture
from gas.model import network_part
from gas.proxies.base import register
from gas.proxies.structural import Structural


@register("output_channels")
class OutputChannels(Structural):
    """Sum over all linear layers and convolutions of the channels that they give out, those of the head included.

    Counted as the design is trained: of branches that fold into one convolution for inference each counts; a layer
    that blocks share counts once.

    Source: none; a count.
    """

    def count(self, architecture: Architecture) -> float:
        """`output_channels`."""
        part = network_part(architecture)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):  # which holds no numbers
            network = part.build()
        total = 0
        for module in network.modules():
            if isinstance(module, nn.Linear):
                total += module.out_features
            elif isinstance(module, nn.modules.conv._ConvNd):
                total += module.out_channels
        return total
