"""Over how many directions a block's features spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gas.probes.base import Block, register


@register("effective_rank")
def effective_rank(blocks: Sequence[Block]) -> list[float | None]:
    """Effective rank of what the block gives out, as a share of the most that it could have: from 0 to 1.

    The most is the smaller of its width and the number of tokens seen less one. Late stages have fewer tokens than
    channels at the small size that is probed, so readings compare between designs probed alike, not with a wide
    open limit.

    Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007: exp of the entropy of the normalised spectrum.
    Differs: of the covariance's eigenvalues, where the paper takes singular values.
    """
    found = []
    for block in blocks:
        features = block.rows[1]
        most = min(features.shape[1], features.shape[0] - 1)
        found.append(rank(features) / most if most > 0 else None)
    return found


def rank(features: Tensor) -> float:
    """(S, C) features -> exp of the entropy of their covariance's normalised eigenvalues; 0 where nothing varies."""
    centred = (features - features.mean(dim=0)).double()
    # The smaller of the two Gram matrices has the same non-zero eigenvalues.
    gram = centred.T @ centred if centred.shape[0] >= centred.shape[1] else centred @ centred.T
    variances = torch.linalg.eigvalsh(gram).clamp_min(0)
    total = variances.sum()
    if not total > 0:
        return 0.0
    share = variances / total
    return torch.special.entr(share).sum().exp().item()
