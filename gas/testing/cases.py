"""Random options, random places and random whole designs for any registered pattern, read off its declared options."""

from __future__ import annotations

import random
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.patterns import PATTERNS, Flow, Pattern, Slot, options_of
from gas.patterns.base import refuse_class_token
from gas.plan import enter, leave, place, plan, start
from gas.space import design_from_text

SIZES = (1, 2, 3, 4, 5, 7, 8, 16)
SHARES = (0.1, 0.5, 1.0, 1.3, 2.0, 4.0)
WIDTHS = (4, 8, 12, 16, 24)
GRIDS = ((2, 2), (3, 3), (4, 4), (7, 7), (8, 8), (12, 12), (14, 14), (16, 16), (4, 8))
RESOLUTIONS = (16, 32, 48)
LARGEST = 10_000_000  # macs of a random design: attention over every pixel would take seconds and show nothing more
TRIES = 500  # random options and places that may be refused for each one that stands
SMALL_DESIGN = """
input: {resolution: 32}
stem: {pattern: conv_embed, dim: 16}
stages:
  - dim: 16
    blocks: [{pattern: transformer, depth: 1, mixer: {pattern: mask_unit_attention, mask_unit: 2, heads: 2}}]
  - entry: q_pool
    dim: 32
    blocks: [{pattern: transformer, depth: 1, mixer: {pattern: global_attention, heads: 2}}]
head: {pattern: classifier, classes: 10}
"""


def small_design() -> Architecture:
    """Two stages of one block each: what proxies and targets are tried on."""
    return design_from_text(SMALL_DESIGN)


_share: ContextVar[float] = ContextVar("share of the random cases", default=1.0)


@contextmanager
def effort(share: float) -> Iterator[None]:
    """Within it, checks look at this share of their random cases, and at two at least."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def _many(count: int) -> int:
    return min(count, max(2, round(count * _share.get())))


def cases(pattern: Pattern, count: int, seed: int) -> Iterator[tuple[Any, Flow]]:
    """`count` pairs of options and flow at which the pattern can stand; most random pairs are refused by it.

    Raises:
        AssertionError: Hardly any can stand; says why the last one could not.
    """
    rng, count = random.Random(seed), _many(count)
    found, refusal = 0, ""
    for _ in range(TRIES * count):
        try:
            options = options_of(random_spec(pattern, rng))
            flow = random_flow(rng)
            if pattern.kind == "entry":  # a stage is not entered with a pooling pending
                flow = flow.but(pool=1)
            layouts = pattern.reads(options, flow)
            if not layouts:
                continue  # a block whose mixers read no layout in common
            flow = _laid_out(flow, rng.choice(layouts), rng)
            refuse_class_token(pattern, flow)
            pattern.after(options, flow)
        except DesignError as error:
            refusal = f"; the last refusal: {error}"
            continue
        yield options, flow
        found += 1
        if found == count:
            return
    raise AssertionError(f"random options and places: got {found} that can stand; expected {count}{refusal}")


def designs(pattern: Pattern, count: int, seed: int) -> Iterator[Architecture]:
    """`count` whole designs that hold the pattern, among random others.

    Raises:
        AssertionError: Hardly any is possible; says why the last one was not.
    """
    rng, count = random.Random(seed), _many(count)
    found, refusal = 0, ""
    for _ in range(TRIES * count):
        try:
            design = _random_design(pattern, rng)
        except DesignError as error:
            refusal = f"; the last refusal: {error}"
            continue
        if not any(path.endswith("pattern") and value == pattern.name for path, value in design.walk()):
            continue
        yield design
        found += 1
        if found == count:
            return
    raise AssertionError(f"random designs that hold it: got {found}; expected {count}{refusal}")


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
        scope=_random_scope(rng) if lag else None,
    )


def _laid_out(flow: Flow, layout: str, rng: random.Random) -> Flow:
    """The flow in a layout, with class or carrier tokens at times."""
    if layout == "set":
        return flow.but(layout=layout, grid=(1, flow.tokens), extra=1, pool=1)
    if layout == "windows":
        sides = [side for side in range(1, 8) if not flow.grid[0] % side and not flow.grid[1] % side]
        return flow.but(layout=layout, window=rng.choice(sides), extra=rng.choice((0, 1, 4)), pool=1)
    extra = int(layout == "tokens" and flow.pool == 1 and rng.random() < 0.2)
    return flow.but(layout=layout, extra=extra)


def random_spec(pattern: Pattern, rng: random.Random, *, prefer: Pattern | None = None) -> Spec:
    """The pattern with random options of the declared types; its own bounds and refusals still stand.

    Args:
        pattern: The pattern.
        rng: Source of chance.
        prefer: A pattern that fills every slot of its kind, but for its own.
    """
    chosen = {}
    for name, info in pattern.Options.model_fields.items():
        slot = next((m for m in info.metadata if isinstance(m, Slot)), None)
        # A pattern may hold others of its own kind; preferred there too, it would nest without end.
        preferred = slot is not None and prefer is not None and slot.kind == prefer.kind and pattern is not prefer
        optional = slot is not None and type(None) in typing.get_args(info.annotation)
        chance = 0.5 if preferred and optional else 0.0 if preferred else 0.3
        if not info.is_required() and rng.random() < chance:
            continue  # the default
        if optional and not preferred and rng.random() < 0.2:
            chosen[name] = None
        elif slot is not None:
            inner = prefer if preferred else rng.choice(of_kind(slot.kind))
            chosen[name] = random_spec(inner, rng, prefer=prefer)
        else:
            chosen[name] = random_value(info.annotation, rng, info.metadata)
    fields = pattern.Options.model_fields
    return Spec.of(pattern.name, **{n: v for n, v in chosen.items() if v is not None or fields[n].default is not None})


def random_value(annotation: Any, rng: random.Random, marks: Sequence[Any] = ()) -> Any:
    """A value of a declared type, near its declared bounds as often as not; pydantic refuses what is outside them."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return random_value(inside[0], rng, inside[1:])
    if origin in (types.UnionType, typing.Union):
        return random_value(rng.choice(inside), rng)
    if origin is typing.Literal:
        return rng.choice(inside)
    if origin is tuple:
        return tuple(random_value(inside[0], rng) for _ in range(rng.choice((1, 2, 2, 3, 4))))
    if annotation is type(None):
        return None
    if annotation is bool:
        return rng.random() < 0.5
    if annotation in (int, float):
        near = list(_near_bounds(annotation, marks))
        usual = SIZES if annotation is int else SHARES
        return rng.choice(near if near and rng.random() < 0.5 else usual)
    raise AssertionError(
        f"options: got one of type {annotation}; expected bool, int, float, Literal, tuple of one, or None beside one"
    )


def of_kind(kind: str) -> list[Pattern]:
    """Every registered pattern of a kind."""
    return [PATTERNS.get(name) for name in PATTERNS if PATTERNS.get(name).kind == kind]


def _near_bounds(kind: type, marks: Sequence[Any]) -> Iterator[Any]:
    for mark in marks:
        for inner in (mark, *getattr(mark, "metadata", ())):
            step = getattr(inner, "multiple_of", None)
            if step is not None:
                yield from (kind(step * n) for n in (1, 2, 3))
            for name, inward in (("ge", 0), ("gt", 1), ("le", 0), ("lt", -1)):
                bound = getattr(inner, name, None)
                if bound is not None:
                    yield kind(bound + inward * (1 if kind is int else 0.25))


def _random_scope(rng: random.Random) -> Spec | None:
    """The scope of some token mixer; None where it has none."""
    mixer = rng.choice(of_kind("token_mixer"))
    for _ in range(TRIES):
        try:
            return mixer.scope(options_of(random_spec(mixer, rng)))
        except DesignError:
            continue
    return None


def _random_design(pattern: Pattern, rng: random.Random) -> Architecture:
    """One design of one or two stages, each part drawn anew until it can stand; DesignError where none could."""

    def fill(kind: str) -> Spec:
        chosen = pattern if pattern.kind == kind else rng.choice(of_kind(kind))
        return random_spec(chosen, rng, prefer=pattern)

    resolution = rng.choice(RESOLUTIONS)
    stem, flow = _standing(lambda: fill("stem"), lambda spec: place(spec, start(resolution, 3))[2])
    stages = []
    for number in range(2 if pattern.kind == "entry" else rng.randint(1, 2)):
        dim, came, entry = rng.choice(WIDTHS), flow, None
        if number and (pattern.kind == "entry" or rng.random() < 0.5):
            entry, flow = _standing(lambda: fill("entry"), lambda spec, d=dim, f=came: enter(spec, d, f)[2])
        else:
            flow = enter(None, dim, came)[2]
        depth = rng.randint(1, 2)

        def through(block: Spec, depth: int = depth, dim: int = dim, flow: Flow = flow) -> Flow:
            for _ in range(depth):
                flow = place(block, flow)[2]
            return leave(dim, flow)

        block, flow = _standing(lambda: fill("block"), through)
        stages.append(Stage(dim, (Group(block, depth),), entry))
    head, _ = _standing(lambda: fill("head"), lambda spec, f=flow: place(spec, f)[2])
    design = Architecture(stem, tuple(stages), head, resolution)
    macs = plan(design).cost.macs
    if macs > LARGEST:
        raise DesignError("", f"costs {macs:,} macs; expected at most {LARGEST:,}")
    return design


def _standing(draw: Callable[[], Spec], stand: Callable[[Spec], Flow]) -> tuple[Spec, Flow]:
    problem: DesignError | None = None
    for _ in range(50):
        try:
            spec = draw()
            return spec, stand(spec)
        except DesignError as error:
            problem = error
    assert problem is not None
    raise problem
