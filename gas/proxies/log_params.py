"""The size of a design: the first thing that accuracy goes with."""

from __future__ import annotations

import math

from gas.architecture import Architecture
from gas.plan import plan
from gas.proxies.base import register
from gas.proxies.structural import Structural


@register("log_params")
class LogParams(Structural):
    """Natural logarithm of the number of parameters, those of the head included.

    Source: none; a count.
    """

    def count(self, architecture: Architecture) -> float:
        """`log_params`."""
        return math.log(plan(architecture).cost.params)
