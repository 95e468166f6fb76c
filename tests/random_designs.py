"""Random small designs of attention blocks and Q-poolings: any mixture that the planner accepts."""

from __future__ import annotations

import random
from collections.abc import Iterator

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.plan import plan


def random_designs(count: int, seed: int) -> Iterator[Architecture]:
    """`count` designs that can be built."""
    rng = random.Random(seed)
    found = 0
    while found < count:
        design = random_design(rng)
        try:
            plan(design)
        except DesignError:
            continue
        yield design
        found += 1


def random_design(rng: random.Random) -> Architecture:
    """One design, which may be impossible: windows that shrink below a token, odd grids."""
    stages = []
    for number in range(rng.randint(1, 4)):
        entry = None
        if number and rng.random() < 0.75:
            entry = Spec.of("q_pool") if rng.random() < 0.5 else Spec.of("q_pool", lag=False)
        groups = tuple(Group(_block(rng), rng.randint(1, 2)) for _ in range(rng.randint(1, 2)))
        stages.append(Stage(rng.choice((8, 16, 24)), groups, entry))
    stem = Spec.of("conv_embed", dim=rng.choice((8, 12, 16)), position=rng.choice(("learned", "none")))
    head = Spec.of("classifier", classes=rng.choice((2, 10)))
    return Architecture(stem, tuple(stages), head, rng.choice((32, 48, 64)))


def _block(rng: random.Random) -> Spec:
    heads = rng.choice(({"heads": 1}, {"heads": 2}, {"head_dim": 4}, {"head_dim": 8}))
    if rng.random() < 0.6:
        mixer = Spec.of("mask_unit_attention", mask_unit=rng.choice((2, 4, 8, 16)), **heads)
    else:
        mixer = Spec.of("global_attention", **heads)
    return Spec.of("transformer", mixer=mixer, mlp=Spec.of("mlp", ratio=rng.choice((0.5, 1.5, 4.0))))
