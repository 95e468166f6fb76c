"""How many numbers a design works out on the way."""

from __future__ import annotations

import math

from gas.architecture import Architecture
from gas.costs.activations import activations
from gas.proxies.base import register
from gas.proxies.structural import Structural


@register("log_activations")
class LogActivations(Structural):
    """Natural logarithm of the activations for one image: all that convolutions, linear layers and products give out.

    Source: the count is that of RegNet, arXiv 2003.13678, section 4; see `gas.costs.activations`.
    """

    def count(self, architecture: Architecture) -> float:
        """`log_activations`."""
        return math.log(activations(architecture))
