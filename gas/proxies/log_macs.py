"""The work that a design does on an image."""

from __future__ import annotations

import math

from gas.architecture import Architecture
from gas.plan import plan
from gas.proxies.base import register
from gas.proxies.structural import Structural


@register("log_macs")
class LogMacs(Structural):
    """Natural logarithm of the multiply-adds for one image of the design's own size.

    Source: none; a count.
    """

    def count(self, architecture: Architecture) -> float:
        """`log_macs`."""
        return math.log(plan(architecture).cost.macs)
