"""What share of the blocks' params a block has."""

from __future__ import annotations

from collections.abc import Sequence

from gas.probes.base import Block, register, shares


@register("params_share")
def params_share(blocks: Sequence[Block]) -> list[float | None]:
    """The block's params over those of all blocks, in the design at its own size; stem and head are left out."""
    return shares([block.placed.cost.params for block in blocks])
