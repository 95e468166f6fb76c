"""Four scores of an untrained network that see different things: how rich its features are, whether they grow richer,
whether gradients keep their size, and how much work is done.

Shapes: C channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.special import log_ndtr
from scipy.stats import rankdata
from torch import Tensor

from gas.passes import Passes
from gas.passes.scatter import entropy
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree

# Mean and deviation of each part, as `levelled`, over the designs of search_spaces/zoo at the default fidelity.
USUAL = {
    "expressivity": (69.3, 29.0),
    "progressivity": (-0.388, 0.232),
    "trainability": (0.15, 1.34),
    "complexity": (20.93, 1.14),
}


@register("az_nas")
class AzNas(TrainingFree):
    """Sum over the four parts of ln Phi((part - mean) / deviation), with the mean and deviation that published designs
    have: close to the sum of ln(rank / m) in a pool of m designs like them, but of one design by itself. Trainability,
    which a single block can make very low, enters as -ln(-trainability); ranks are the same.

    - expressivity: the entropy of the shares of variance of the principal components of what a block gives out, summed
      over the blocks;
    - progressivity: the least growth of that entropy from a block to the next;
    - trainability: the mean over the blocks of 2 - s - 1/s, where s is the spectral norm of E[g_in^T g_out] (see
      `gas.passes.gains`); 0 at s = 1, below it elsewhere;
    - complexity: the natural logarithm of the multiply-adds at the design's own size.

    Source: AZ-NAS, arXiv 2403.19232, section 3, and its public code. Differs: blocks as designs have them, where the
    paper sees attention and MLP apart; blocks that change the grid are left out of trainability; ranks in a pool
    become quantiles of a normal distribution with fixed moments. `az_nas_ranks` aggregates a pool as the paper does.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`az_nas`, and `az_nas_expressivity`, `_progressivity`, `_trainability` and `_complexity`."""
        entropies = [entropy(block.after.variances()) for block in passes.forward.blocks]
        if len(entropies) < 2:
            raise ValueError(
                f"got {len(entropies)} block; expected two at least, because progress is from one to the next"
            )
        parts = {
            "expressivity": math.fsum(entropies),
            "progressivity": min(np.diff(entropies).tolist()),
            "trainability": trainability(passes.gains),
            "complexity": math.log(passes.subject.macs),
        }
        total = math.fsum(_log_quantile(part, value) for part, value in parts.items())
        return {self.name: total, **{f"{self.name}_{part}": value for part, value in parts.items()}}


def levelled(part: str, value: float) -> float:
    """A part's value on a scale on which published designs are spread about evenly to both sides."""
    return -math.log(max(-value, 1e-12)) if part == "trainability" else value


def _log_quantile(part: str, value: float) -> float:
    mean, deviation = USUAL[part]
    return float(log_ndtr((levelled(part, value) - mean) / deviation))


def trainability(gains: Sequence[Tensor | None]) -> float:
    """Mean of 2 - s - 1/s over the blocks, s the spectral norm of a gain, (C_in, C_out).

    Raises:
        ValueError: No block has a gain, or one lets no gradient through.
    """
    norms = [torch.linalg.matrix_norm(gain.double(), 2).item() for gain in gains if gain is not None]
    if not norms:
        raise ValueError("no block keeps its places, so that none has a gain")
    if min(norms) <= 0:
        raise ValueError("a block lets no gradient through")
    return math.fsum(2 - s - 1 / s for s in norms) / len(norms)


def az_nas_ranks(rows: Sequence[Mapping[str, float]]) -> list[float]:
    """The paper's score of each design of a pool: the sum over the four parts of ln(rank / m), 1 the lowest rank.

    Args:
        rows: Metrics of `az_nas`, a mapping per design; others among them are not read.

    Returns:
        In the order of the rows; 0 for a design that is the best in all parts. Equal values share their mean rank.

    Raises:
        ValueError: A part is missing or not finite; says which.

    Source: AZ-NAS, arXiv 2403.19232, section 3 (non-linear ranking aggregation), and its public code.
    """
    total = np.zeros(len(rows))
    for part in USUAL:
        name = f"az_nas_{part}"
        values = [row.get(name, math.nan) for row in rows]
        for index, value in enumerate(values):
            if not math.isfinite(value):
                raise ValueError(f"rows[{index}].{name}: got {value}; expected a finite number")
        total += np.log(rankdata(values) / len(rows)) if rows else 0.0
    return total.tolist()
