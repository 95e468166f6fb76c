"""A pass forward without gradients, over more images than the pass with them: what is counted needs many.

Shapes: B images, C channels, A non-linearities' inputs per image, S rows (images times places).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gas.model import token_rows
from gas.passes.scatter import Scatter
from gas.passes.subject import Subject
from gas.passes.watching import Seen, watched

TIMES = 2  # as many images as in the pass with gradients where those are as small as wished for


@dataclass(eq=False)
class Features:
    """How the features of one block vary over all places of all images.

    Args:
        after: What the block gives out.
        hidden: Each of its hidden states, in order: see `Rectified`.
    """

    after: Scatter
    hidden: list[Scatter] = field(default_factory=list)


@dataclass(eq=False)
class Forward:
    """What a pass forward saw.

    Args:
        blocks: Per block, in order.
        codes: (B, A) bool: which inputs of non-linearities were above 0.
    """

    blocks: list[Features]
    codes: Tensor


@torch.no_grad()
def forward(subject: Subject, generator: torch.Generator, check: Callable[[str], None]) -> Forward:
    """Twice `subject.batch` Gaussian images, in two portions.

    Args:
        subject: The network.
        generator: Of the images.
        check: Called before each portion, with how far the pass has come.
    """
    features: list[Features] = []
    codes = []
    for portion in range(TIMES):
        check(f"portion {portion + 1} of {TIMES}")
        images = torch.randn(subject.batch, *subject.images.shape[1:], generator=generator)
        with watched(subject.blocks, subject.batch) as (blocks, rectified):
            subject.network(images)
        if not features:
            features = [_empty(block) for block in blocks]
        for block, gathered in zip(blocks, features, strict=True):
            gathered.after.add(token_rows(block.after, block.layouts[1]))
            for scatter, state in zip(gathered.hidden, block.hidden, strict=True):
                scatter.add(state)
        codes.append(rectified.codes())
    return Forward(features, torch.cat(codes))


def _empty(block: Seen) -> Features:
    """Of a block that has shown what it does with one portion."""
    after = Scatter(TIMES * len(token_rows(block.after, block.layouts[1])))
    return Features(after, [Scatter(TIMES * len(state)) for state in block.hidden])
