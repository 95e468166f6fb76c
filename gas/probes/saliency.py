"""How much the scores hang on a block: gradient times activation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gas.probes.base import Block, register, shares


@register("saliency")
def saliency(blocks: Sequence[Block]) -> list[float | None]:
    """How far the class scores would move were the block to do nothing, as a share of the sum over all blocks.

    Where a block keeps the shape, to do nothing is to hand on its input: its contribution is its output minus its
    input. Where it widens or pools, its contribution is what its residual branches add to their shortcuts. None where
    it has neither (an entry, a block without a shortcut): without it nothing would go on, so it cannot be compared.

    The change is taken to first order: gradient times contribution, summed over the features of an image, so that
    parts which cancel do so. The objective weighs the scores of each image by random signs (see `watch`), so the root
    of the mean square over the images estimates the length of the whole change of the scores.

    Source: gradient times activation as the first-order change of the objective: Molchanov et al., arXiv 1611.06440,
    section 2.2, and for the heads of a transformer Michel et al., arXiv 1905.10650, section 2.3. Differs: of a whole
    block, over signs in place of labels, and the root of the mean square in place of the mean absolute value.
    """
    return shares([_change(block) for block in blocks])


def _change(block: Block) -> float | None:
    contribution = _contribution(block)
    if contribution is None or block.gradient is None:
        return None
    products = (block.gradient * contribution).flatten(1).sum(dim=1)  # (B,)
    return products.double().square().mean().sqrt().item()


def _contribution(block: Block) -> Tensor | None:
    if block.keeps_shape:
        return block.after - block.before
    fitting = [branch for branch in block.branches if branch.shape == block.after.shape]
    return sum(fitting) if fitting else None
