"""How alike what a block gives out is to what it is given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gas.probes.base import Block, register

SAMPLES = 256
"""Tokens that are compared, at most."""


@register("similarity")
def similarity(blocks: Sequence[Block]) -> list[float | None]:
    """Linear CKA of a block's output with its input: 1 where it does nothing (or no more than turn and scale).

    None where the tokens that go out do not stand where others came in (a pooling), and where nothing varies. Widths
    may differ.

    Source: Kornblith et al., arXiv 1905.00414, section 3; without bias: Song et al., JMLR 13, 2012, equation 5, as in
    Nguyen et al., arXiv 2010.15327, section 2. The plain estimate is near 1 for anything where channels outnumber
    tokens. Differs: what is below 0 by chance is 0.
    """
    found = []
    for block in blocks:
        reading = None
        if block.keeps_places:
            before, after = block.rows
            chosen = torch.linspace(0, len(before) - 1, min(len(before), SAMPLES)).long()
            reading = linear_cka(before[chosen], after[chosen])
        found.append(reading)
    return found


def linear_cka(first: Tensor, second: Tensor) -> float | None:
    """(S, C) and (S, D) features of the same S places -> their likeness, 0 to 1; None where either does not vary."""
    if len(first) < 4:
        return None  # the estimate needs four
    grams = [centred @ centred.T for f in (first, second) for centred in [(f - f.mean(dim=0)).double()]]
    own = [_hsic(gram, gram) for gram in grams]
    scale = [gram.diagonal().mean().square().item() for gram in grams]
    if any(value <= 1e-12 * size for value, size in zip(own, scale, strict=True)):
        return None
    return min(max(_hsic(*grams) / (own[0] * own[1]) ** 0.5, 0.0), 1.0)


def _hsic(first: Tensor, second: Tensor) -> float:
    """Unbiased HSIC of two (S, S) Gram matrices, S at least 4."""
    n = len(first)
    k, m = (gram - torch.diag(gram.diagonal()) for gram in (first, second))
    products = (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ m.sum(0)) / (n - 2)
    return (products / (n * (n - 3))).item()
