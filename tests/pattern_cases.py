"""Random options and random places for any registered pattern: what the contract test over the registry feeds on."""

from __future__ import annotations

import random
import types
import typing
from collections.abc import Iterator
from typing import Any

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow, Pattern, Slot
from gas.patterns.base import options_of

SIZES = (1, 2, 3, 4, 5, 7, 8, 16)
WIDTHS = (4, 8, 12, 16, 24)
GRIDS = ((2, 2), (3, 3), (4, 4), (8, 8), (12, 12), (16, 16), (4, 8))


def cases(pattern: Pattern, count: int, seed: int) -> Iterator[tuple[Any, Flow]]:
    """`count` pairs of options and flow at which the pattern can stand; most random pairs are refused by it."""
    rng = random.Random(seed)
    found = 0
    for _ in range(500 * count):
        try:
            options = options_of(random_spec(pattern, rng))
            flow = random_flow(rng)
            layouts = pattern.reads(options, flow)
            flow = flow.but(layout=rng.choice(layouts))
            pattern.after(options, flow)
        except (DesignError, IndexError):  # IndexError: no layout that all its mixers read
            continue
        yield options, flow
        found += 1
        if found == count:
            return
    raise AssertionError(f"{pattern.name}: only {found} of {count} random cases could stand")


def random_flow(rng: random.Random) -> Flow:
    """Any place: image-like, within a stage, before a pooling, after some, with or without Hiera's lag."""
    lag = rng.random() < 0.3
    return Flow(
        dim=rng.choice((*WIDTHS, 3)),
        grid=rng.choice(GRIDS),
        target=rng.choice(WIDTHS),
        pool=rng.choice((1, 1, 2)),
        scale=rng.choice((1, 1, 2, 4)),
        lag=lag,
        scope=rng.choice((Spec.of("mask_unit_attention", mask_unit=4), Spec.of("global_attention"))) if lag else None,
    )


def random_spec(pattern: Pattern, rng: random.Random) -> Spec:
    """The pattern with random options, read off their declared types."""
    chosen = {}
    for name, info in pattern.Options.model_fields.items():
        if not info.is_required() and rng.random() < 0.3:
            continue  # the default
        slot = next((m for m in info.metadata if isinstance(m, Slot)), None)
        if slot is not None:
            fitting = [PATTERNS.get(other) for other in PATTERNS if PATTERNS.get(other).kind == slot.kind]
            chosen[name] = random_spec(rng.choice(fitting), rng)
        else:
            chosen[name] = random_value(info.annotation, rng)
    return Spec.of(pattern.name, **{name: value for name, value in chosen.items() if value is not None})


def random_value(annotation: Any, rng: random.Random) -> Any:
    """A value of a declared type; bounds are left to pydantic to refuse."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return random_value(typing.get_args(annotation)[0], rng)
    if origin in (types.UnionType, typing.Union):
        return random_value(rng.choice(typing.get_args(annotation)), rng)
    if origin is typing.Literal:
        return rng.choice(typing.get_args(annotation))
    if annotation is type(None):
        return None
    if annotation is bool:
        return rng.random() < 0.5
    if annotation is int:
        return rng.choice(SIZES)
    if annotation is float:
        return rng.choice((0.1, 0.5, 1.0, 1.3, 2.0, 4.0))
    raise AssertionError(f"no random value is known for options of type {annotation}")
