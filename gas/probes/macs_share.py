"""What share of the blocks' macs a block has."""

from __future__ import annotations

from collections.abc import Sequence

from gas.probes.base import Block, register, shares


@register("macs_share")
def macs_share(blocks: Sequence[Block]) -> list[float | None]:
    """The block's macs over those of all blocks, in the design at its own size; stem and head are left out."""
    return shares([block.placed.cost.macs for block in blocks])
