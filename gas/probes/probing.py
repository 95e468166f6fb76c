"""Probing a design: one network, one pass forward and back, every reading."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gas.architecture import Architecture
from gas.probes.base import PROBES
from gas.probes.subject import Subject, fresh
from gas.probes.watching import watch


def probe(
    architecture: Architecture,
    *,
    seed: int = 0,
    names: Sequence[str] | None = None,
    deadline: float | None = None,
    subject: Subject | None = None,
) -> tuple[dict[str, float], ...]:
    """Readings of a design, block by block: equal arguments give equal readings on one thread.

    Args:
        architecture: The design at its own size.
        seed: Of weights, images and objective.
        names: Registered names of the readings wanted; all where None.
        deadline: Value of `time.monotonic()` after which TimeoutError is raised.
        subject: A network of this design, perhaps smaller and trained; one is built fresh where None.

    Returns:
        One mapping per block of `plan(architecture).blocks`, in order: the number of its `stage`, and by name each
        reading that the block has. All are finite.

    Raises:
        UnknownNameError: There is no probe of a name.
        DesignError: The design cannot be built.
        TimeoutError: The deadline has passed.
    """
    wanted = {name: PROBES.get(name) for name in (PROBES.names() if names is None else names)}
    blocks = watch(subject or fresh(architecture, seed=seed), architecture, seed=seed, deadline=deadline)
    found: list[dict[str, float]] = [{"stage": block.placed.stage} for block in blocks]
    for name, read in wanted.items():
        for readings, value in zip(found, read(blocks), strict=True):
            if value is not None and math.isfinite(value):
                readings[name] = float(value)
    return tuple(found)
