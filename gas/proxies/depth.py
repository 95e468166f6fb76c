"""How deep a design is."""

from __future__ import annotations

from gas.architecture import Architecture
from gas.proxies.base import register
from gas.proxies.block_widths import widths
from gas.proxies.structural import Structural


@register("depth")
class Depth(Structural):
    """Number of blocks; stem, head and the stages' entries are none.

    Source: none; a count.
    """

    def count(self, architecture: Architecture) -> float:
        """`depth`."""
        return len(widths(architecture))
