"""The same design smaller: at another input size and with fewer channels, as short training wants it.

It knows no pattern by name. Which options count channels is said by the patterns themselves (the `Width` mark);
whether a reduced stage can stand is asked of the planner.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.patterns import Flow, Width, options_of
from gas.patterns.base import within
from gas.plan import enter, leave, place, plan, start

_LEAST_STEP = 4
"""Stage widths are multiples of this: odd widths gain nothing and are slower."""


def reduce(architecture: Architecture, *, resolution: int | None = None, width: float = 1.0) -> Architecture:
    """A design with the same stages, depths, patterns and numbers of heads, for smaller images and with less width.

    A stage's dim becomes the nearest width at which every marked option that divided the old one (channels per head,
    per group) divides the new one as many times, at a multiple of what the mark asks for. So the rounding differs a
    little from stage to stage.

    Args:
        architecture: The design at its own size.
        resolution: Side of the new input, pixels; None for the design's own.
        width: Multiplier of every width; 1 leaves them alone.

    Raises:
        DesignError: The design does not exist at that size (a pooling or a mask unit does not divide the grid).
    """
    if not width > 0:
        raise DesignError("", f"got a width multiplier of {width}; expected more than 0")
    small = replace(architecture, resolution=resolution or architecture.resolution)
    if width != 1.0:
        small = _narrow(small, width)
    plan(small)
    return small


def _narrow(architecture: Architecture, width: float) -> Architecture:
    """Stage by stage, each new width checked at once with the planner's own step."""
    first = architecture.dims[0]
    stages: list[Stage] = []
    problem: DesignError | None = None
    for dim in _widths(architecture.stages[0], width):
        # A stem as wide as the first stage stays so, or a shortcut would appear that the design does not have.
        rescale = partial(_scaled, width=width, kept={first: dim})
        stem = _rescaled(architecture.stem, rescale)
        try:
            flow = _at("stem", stem, start(architecture.resolution, architecture.channels))
            stage, flow = _fit(0, architecture.stages[0], [dim], flow, width)
        except DesignError as error:
            problem = problem or error
            continue
        break
    else:
        raise problem or DesignError("stages[0]", f"no width near {first * width:g} will do")
    stages.append(stage)
    for index, wide in enumerate(architecture.stages[1:], 1):
        dims = _widths(wide, width)
        if wide.dim == architecture.stages[index - 1].dim:
            dims = sorted(dims, key=lambda d: d != stages[-1].dim)
        stage, flow = _fit(index, wide, dims, flow, width)
        stages.append(stage)
    head = _rescaled(architecture.head, partial(_scaled, width=width, kept={architecture.dims[-1]: stages[-1].dim}))
    return replace(architecture, stem=stem, stages=tuple(stages), head=head)


def _fit(index: int, stage: Stage, dims: list[int], flow: Flow, width: float) -> tuple[Stage, Flow]:
    """The stage at the first of `dims` at which it can stand behind `flow`; the first problem where there is none."""
    problem: DesignError | None = None
    for dim in dims:
        rescale = partial(_stage_option, dim=stage.dim, new=dim, width=width)
        blocks = tuple(Group(_rescaled(group.block, rescale), group.depth) for group in stage.blocks)
        entry = None if stage.entry is None else _rescaled(stage.entry, rescale)
        narrow = Stage(dim, blocks, entry)
        try:
            return narrow, _through(index, narrow, flow)
        except DesignError as error:
            problem = problem or error
    raise problem or DesignError(f"stages[{index}]", f"no width near {stage.dim * width:g} will do")


def _through(index: int, stage: Stage, flow: Flow) -> Flow:
    try:
        flow = enter(stage.entry, stage.dim, flow)[2]
        for j, group in enumerate(stage.blocks):
            for _ in range(group.depth):
                flow = _at(f"blocks[{j}]", group.block, flow)
        return leave(stage.dim, flow)
    except DesignError as error:
        raise within(f"stages[{index}]", error) from error


def _at(where: str, spec: Spec, flow: Flow) -> Flow:
    try:
        return place(spec, flow)[2]
    except DesignError as error:
        raise within(where, error) from error


def _widths(stage: Stage, width: float) -> list[int]:
    """Possible new widths of a stage, nearest to `width` times the old one first (the larger of two as near)."""
    step = _LEAST_STEP
    for group in stage.blocks:
        for value, mark in _marks(group.block):
            if stage.dim % value == 0:
                # As many parts as before, each a multiple of what the mark asks for.
                step = math.lcm(step, stage.dim // value * mark.multiple)
    wanted = stage.dim * width
    most = max(stage.dim, math.ceil(wanted / step) * step)
    return sorted(range(step, most + 1, step), key=lambda dim: (abs(dim - wanted), -dim))


def _marks(spec: Spec) -> Iterator[tuple[int, Width]]:
    typed = options_of(spec)
    for name, field in type(typed).model_fields.items():
        value, mark = getattr(typed, name), _mark(field)
        if mark is not None and value is not None:
            yield value, mark
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Spec):
                yield from _marks(inner)


def _rescaled(spec: Spec, rescale: Any) -> Spec:
    """The spec with every marked option, its own and those nested in it, replaced by `rescale(value, mark)`."""
    typed = options_of(spec)
    options = {}
    for name, value in spec.items:
        if isinstance(value, Spec):
            value = _rescaled(value, rescale)
        elif isinstance(value, tuple):
            value = tuple(_rescaled(v, rescale) if isinstance(v, Spec) else v for v in value)
        options[name] = value
    for name, field in type(typed).model_fields.items():
        mark, value = _mark(field), getattr(typed, name)
        if mark is not None and value is not None:
            options[name] = rescale(value, mark)
    return Spec.of(spec.pattern, **options)


def _mark(field: Any) -> Width | None:
    """The Width among a field's marks; `Annotated[int, Width()] | None` keeps it inside the union."""
    for mark in field.metadata:
        if isinstance(mark, Width):
            return mark
    for member in get_args(field.annotation):
        for mark in getattr(member, "__metadata__", ()):
            if isinstance(mark, Width):
                return mark
    return None


def _stage_option(value: int, mark: Width, *, dim: int, new: int, width: float) -> int:
    if dim % value == 0:
        return value * new // dim
    return _scaled(value, mark, width=width, kept={})


def _scaled(value: int, mark: Width, *, width: float, kept: dict[int, int]) -> int:
    return kept.get(value) or max(mark.multiple, math.floor(value * width / mark.multiple + 0.5) * mark.multiple)
