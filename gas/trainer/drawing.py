"""Numbers that everything drawn in a training follows from: no generator has a state that a checkpoint must keep."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def seed_of(seed: int, what: str, *places: int) -> int:
    """A seed for one thing that is drawn at one place of a training (epoch, step, part, group), below 2 ** 63."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(what.encode()), *places])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def order_of(seed: int, epoch: int, total: int) -> Tensor:
    """(total,) the order of the training images in an epoch."""
    generator = torch.Generator().manual_seed(seed_of(seed, "order", epoch))
    return torch.randperm(total, generator=generator)
