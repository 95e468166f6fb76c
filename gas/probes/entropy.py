"""How widely attention looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gas.probes.base import Block, register


@register("entropy")
def entropy(blocks: Sequence[Block]) -> list[float | None]:
    """Mean entropy of the block's attention weights over the logarithm of the number of keys: 1 looks at all alike.

    Of every softmax that runs within the block, whether torch's fused attention or one written out; so in attention
    over channels the keys are channels. Masked keys do not count. None for blocks without a softmax, and where every
    query has a single key.

    Source: entropy of attention as how local a head is: Clark et al., arXiv 1906.04341, section 3.3. Differs: divided
    by its greatest value.
    """
    found = []
    for block in blocks:
        means = [mean for scores in block.scores if (mean := mean_entropy(scores)) is not None]
        found.append(sum(means) / len(means) if means else None)
    return found


def mean_entropy(scores: Tensor) -> float | None:
    """(Q, S) scores, minus infinity where masked -> mean of entropy / log(keys) over queries that have two or more."""
    keys = scores.isfinite().sum(dim=1)
    scores, keys = scores[keys > 1].double(), keys[keys > 1].double()
    if not len(keys):
        return None
    return (torch.special.entr(scores.softmax(dim=1)).sum(dim=1) / keys.log()).mean().item()
