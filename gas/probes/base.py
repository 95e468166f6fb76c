"""What a probe is: a function from what the blocks of one network were seen to do to a number per block.

Shapes: B images, N tokens, C channels, H and W the grid's sides; Q rows and S keys of attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from gas.model import token_rows
from gas.plan import Placed
from gas.registry import Registry


@dataclass
class Block:
    """What one block did with the stimulus.

    Args:
        placed: The block in the design at its own size: its costs.
        built: The block in the network that was watched: its shapes and layouts.
        before: What came in, (B, C, H, W) or (B, N, C).
        after: What went out.
        gradient: Of the objective with respect to what went out; None where none reaches it.
        branches: What its residual branches added to their shortcuts; noted where the block changes the shape.
        scores: Attention scores before their softmax, (Q, S) for each attention that ran; a sample of the queries,
            and minus infinity where a key is masked.
    """

    placed: Placed
    built: Placed
    before: Tensor
    after: Tensor
    gradient: Tensor | None = None
    branches: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)

    @property
    def keeps_shape(self) -> bool:
        """True where what goes out can be held against what came in, place by place and channel by channel."""
        return self.keeps_places and self.before.shape == self.after.shape

    @property
    def keeps_places(self) -> bool:
        """True where every token that goes out stands where one came in, whatever their widths."""
        before, after = self.built.before, self.built.after
        return (before.layout, before.grid, before.extra) == (after.layout, after.grid, after.extra)

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """What came in and what went out, (B x places, C)."""
        return token_rows(self.before, self.built.before.layout), token_rows(self.after, self.built.after.layout)


Probe = Callable[[Sequence[Block]], list[float | None]]
"""All blocks in order -> a reading for each; None where the block has nothing to read."""

PROBES: Registry[Probe] = Registry("probe", "gas.probes")
register = PROBES.register


def shares(amounts: Sequence[float | None]) -> list[float | None]:
    """Each amount as a share of their sum; None for all where the sum is not above 0."""
    total = sum(amount for amount in amounts if amount is not None)
    return [None if amount is None or not total > 0 else amount / total for amount in amounts]
