"""Blocks in a row whose attentions share one learned position."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Slot, nested, refuse_class_token, register, within
from gas.patterns.sandwich import walk


class SharedPosition(nn.Sequential):
    """Blocks behind one another; what the first one's token mixer has learned of positions serves them all.

    Each mixer holds the same parameter under its own name, so every block runs, is copied and is exported like one
    that stands alone.

    Args:
        blocks: TransformerBlocks of one make, whose token mixers name what they share in `shared`.
    """

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(*blocks)
        for block in blocks[1:]:
            for own, first in zip(block.token_mixer.modules(), blocks[0].token_mixer.modules(), strict=True):
                if hasattr(own, "shared"):
                    setattr(own, own.shared, getattr(first, own.shared))


class SharedPositionOptions(Options):
    """Options of shared_position."""

    layers: Annotated[int, Field(gt=0, description="blocks in a row")]
    block: Annotated[Spec, Slot("block"), Field(description="what each is: a block whose token mixer has a position")]


@register("shared_position")
class SharedPositionPattern(Pattern):
    """`layers` blocks with weights of their own, but for one learned position that all of their token mixers use.

    A dense position grows with tokens times keys: given to each block anew it outweighs the rest of an early stage.

    Source: the public code of CMT (arXiv 2107.06263), where the blocks of a stage share a bias for each token and key.
    """

    kind = "block"
    Options = SharedPositionOptions
    class_tokens = True  # as far as its block does

    def reads(self, options: SharedPositionOptions, flow: Flow) -> tuple[str, ...]:
        """What the block reads."""
        pattern, inner = nested(options.block)
        try:
            return pattern.reads(inner, flow)
        except DesignError as error:
            raise within("block", error) from error

    def groups(self, options: SharedPositionOptions, flow: Flow) -> int:
        """What the block needs: several are in a row only where they keep all shapes."""
        pattern, inner = nested(options.block)
        return pattern.groups(inner, flow)

    def after(self, options: SharedPositionOptions, flow: Flow) -> Flow:
        """What the last block gives out; more than one must have a position to share."""
        pattern, inner = nested(options.block)
        try:
            refuse_class_token(pattern, flow)
            out = pattern.after(inner, flow)
            if options.layers > 1 and not pattern.shared_params(inner, flow):
                raise _nothing_to_share(options.block)
            for _ in range(options.layers - 1):
                out = pattern.after(inner, out)
        except DesignError as error:
            raise within("block", error) from error
        return out

    def cost(self, options: SharedPositionOptions, flow: Flow) -> Cost:
        """All blocks, the position once."""
        pattern, inner = nested(options.block)
        again = (options.layers - 1) * pattern.shared_params(inner, flow)
        return walk([options.block] * options.layers, flow)[0] + Cost(0, -again)

    def part(self, options: SharedPositionOptions, flow: Flow) -> Part:
        """A SharedPosition."""
        return Part(SharedPosition, {"": walk([options.block] * options.layers, flow)[1]})


def _nothing_to_share(block: Spec) -> DesignError:
    mixer = block.options.get("mixer")
    where, name = ("mixer", mixer.pattern) if isinstance(mixer, Spec) else ("", block.pattern)
    return DesignError(where, f"got {name} with no position to share; expected a mixer that has one, or 1 layer")
