"""Mask unit attention: local attention in fixed square units that shrink, in tokens, at every pooling."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gas.errors import DesignError
from gas.patterns.attention import AttentionOptions, AttentionPattern
from gas.patterns.base import Flow, register


class MaskUnitAttentionOptions(AttentionOptions):
    """Options of mask_unit_attention: exactly one of `heads` and `head_dim`."""

    mask_unit: Annotated[
        int, Field(gt=0, description="side of a unit in tokens of the stem's grid (a power of two)")
    ] = 8


@register("mask_unit_attention")
class MaskUnitAttentionPattern(AttentionPattern):
    """Multi-head self-attention within mask units: the same image area at every depth, so 8 x 8 tokens of the stem's
    grid are 4 x 4 after the first pooling and 2 x 2 after the second. Units do not overlap and are not shifted.

    Source: Hiera, arXiv 2306.00989, section 3, "Mask unit attention". Differs: the side is an option (8 in the paper);
    it must be a power of two, because the unrolled order is made of 2 x 2 groups.
    """

    Options = MaskUnitAttentionOptions

    def unit_side(self, options: MaskUnitAttentionOptions, flow: Flow) -> int:
        """The unit's side divided by every pooling so far, the pending one included."""
        if options.mask_unit & (options.mask_unit - 1):
            raise DesignError("mask_unit", f"got {options.mask_unit}; expected a power of two")
        side, rest = divmod(options.mask_unit, flow.scale * flow.pool)
        if rest:
            raise DesignError(
                "mask_unit",
                f"got {options.mask_unit}; expected at least {flow.scale * flow.pool} here: "
                "the poolings before have made the unit smaller than a token",
            )
        return side
