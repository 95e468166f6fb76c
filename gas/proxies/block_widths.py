"""How wide the blocks of a design are, all together."""

from __future__ import annotations

from gas.architecture import Architecture
from gas.plan import plan
from gas.proxies.base import register
from gas.proxies.structural import Structural


@register("block_widths")
class BlockWidths(Structural):
    """Sum over the blocks of the channels that they give out: what width and depth come to together.

    Source: none; a count. It is the most that `pca_count` can come to, but for the stages' entries, which are no
    blocks.
    """

    def count(self, architecture: Architecture) -> float:
        """`block_widths`."""
        return sum(widths(architecture))


def widths(architecture: Architecture) -> list[int]:
    """Channels that each block gives out, in order."""
    return [placed.after.dim for placed in plan(architecture).blocks if not placed.path.endswith(".entry")]
