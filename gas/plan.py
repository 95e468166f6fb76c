"""The one walk over an architecture that building, counting, showing and exporting all read.

It places every block of a design in order: what comes in, what goes out, what it costs, which layout conversions
stand before it. `place` is also the step that the tables of a search space are made of, so a design costs the same
however it was reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from gas.architecture import Architecture, Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Part, Pattern, nested, refuse_class_token, within
from gas.patterns.layouts import convert, converted, refuse_conversion


@dataclass(frozen=True)
class Placed:
    """A pattern at its place in a design.

    Args:
        path: Where the design says so: `stem`, `stages[1].entry`, `stages[1].blocks[0]`, `head`.
        stage: Index of the stage; None for stem and head.
        pattern: The pattern.
        options: Its options as written.
        before: What comes in (after any conversion).
        after: What goes out.
        cost: Exact cost for one image.
        spec: The pattern with its options, as data.
        came: What comes in before any conversion: with `spec`, what `place` was asked.
        conversions: Layout conversions that stand before it.
    """

    path: str
    stage: int | None
    pattern: Pattern
    options: Any
    before: Flow
    after: Flow
    cost: Cost
    spec: Spec
    came: Flow
    conversions: tuple[Part, ...] = ()

    @property
    def settled(self) -> Any:
        """The options in force here."""
        return self.pattern.settle(self.options, self.before)

    def part(self) -> Part:
        """The module to build."""
        return self.pattern.part(self.options, self.before)


@dataclass(frozen=True)
class Plan:
    """A whole design, placed.

    Args:
        placed: Stem, entries that have a module, blocks and head, in order.
        maps: Per stage, the conversions that turn its last features into a (B, C, H, W) map.
        ends: Per stage, the flow at its end.
    """

    placed: tuple[Placed, ...]
    maps: tuple[tuple[Part, ...], ...]
    ends: tuple[Flow, ...]

    @property
    def cost(self) -> Cost:
        """Sum over all parts."""
        return sum((p.cost for p in self.placed), Cost())

    @property
    def blocks(self) -> tuple[Placed, ...]:
        """The blocks, and the entries that have a module."""
        return tuple(p for p in self.placed if p.stage is not None)


def start(resolution: int, channels: int) -> Flow:
    """The image: a map of `channels` x resolution x resolution."""
    return Flow(dim=channels, grid=(resolution, resolution))


def enter(entry: Spec | None, dim: int, flow: Flow) -> tuple[Cost, Flow, Flow]:
    """How a stage is entered: like `place`, for an entry that may be none or be carried out by the first block."""
    if flow.pool > 1:
        raise DesignError("entry", "a pooling is still pending: the stage before has no block")
    flow = flow.but(target=dim, fresh=True)
    if entry is None:
        return Cost(), flow, flow
    pattern, options = nested(entry)
    try:
        if pattern.fused:
            return Cost(), flow, pattern.after(options, flow)
        cost, read, after = place(entry, flow)
    except DesignError as error:
        raise within("entry", error) from error
    # What attended before is of no account behind an entry's own module: a lag leads from block to block.
    return cost, read, after.but(fresh=True, scope=None)


@lru_cache(maxsize=200_000)
def place(spec: Spec, flow: Flow) -> tuple[Cost, Flow, Flow]:
    """Cost of a part where `flow` comes in, the flow as the part reads it, and the flow behind it.

    DesignError (path relative to the part) where it cannot stand there.
    """
    pattern, options = nested(spec)
    flow = _readable(pattern, options, flow)
    after = pattern.after(options, flow).but(fresh=False)
    return pattern.cost(options, flow), flow, after


def leave(dim: int, flow: Flow) -> Flow:
    """The flow at the end of a stage; DesignError where no block has made it what the stage promises."""
    if flow.fresh:
        raise DesignError("blocks", "the stage has no block")
    if flow.dim != dim:
        raise DesignError("blocks", f"no block changes the width from {flow.dim} to the stage's dim {dim}")
    return flow.but(lag=False, unshifted=False)


@lru_cache(maxsize=4_096)
def plan(architecture: Architecture) -> Plan:
    """Places every part of a design; DesignError with the full path where one cannot stand."""
    steps: list[tuple[str, int | None, Spec, Flow, Flow, Flow, Cost]] = []
    flow = start(architecture.resolution, architecture.channels)

    def put(path: str, stage: int | None, spec: Spec, flow: Flow) -> Flow:
        try:
            cost, read, after = place(spec, flow)
        except DesignError as error:
            raise within(path, error) from error
        steps.append((path, stage, spec, flow, read, after, cost))
        return after

    flow = put("stem", None, architecture.stem, flow)
    ends = []
    for i, stage in enumerate(architecture.stages):
        try:
            cost, read, after = enter(stage.entry, stage.dim, flow)
            if stage.entry is not None and not nested(stage.entry)[0].fused:
                came = flow.but(target=stage.dim, fresh=True)
                steps.append((f"stages[{i}].entry", i, stage.entry, came, read, after, cost))
            flow = after
            for j, group in enumerate(stage.blocks):
                for _ in range(group.depth):
                    flow = put(f"stages[{i}].blocks[{j}]", i, group.block, flow)
            flow = leave(stage.dim, flow)
        except DesignError as error:
            raise (error if error.where.startswith("stages[") else within(f"stages[{i}]", error)) from error
        ends.append(flow)
    put("head", None, architecture.head, flow)
    return _arrange(steps, ends)


def _readable(pattern: Pattern, options: Any, flow: Flow) -> Flow:
    layouts = pattern.reads(options, flow)
    if flow.layout in layouts:
        refuse_class_token(pattern, flow)
        return flow
    if not layouts:
        raise DesignError("", "its parts read no layout in common")
    refuse_conversion(flow, layouts[0])
    return converted(flow, layouts[0])


def _arrange(steps: list, ends: list[Flow]) -> Plan:
    """Fills in the layout conversions, which need to know how many groups each unrolled stretch is made of."""
    groups = list(_groups(steps))
    placed, left, maps = [], [0] * len(steps), []
    for k, (path, stage, spec, flow, read, after, cost) in enumerate(steps):
        pattern, options = nested(spec)
        came_with = left[k - 1] if k else 0
        conversions = convert(flow, read.layout, came_with, groups[k])
        left[k] = (groups[k] - _halvings(read, after)) if after.layout == "unrolled" else 0
        placed.append(Placed(path, stage, pattern, options, read, after, cost, spec, flow, conversions))
        last_of_stage = stage is not None and steps[k + 1][1] != stage
        if last_of_stage:
            maps.append(convert(after, "map", left[k]))
    return Plan(tuple(placed), tuple(maps), tuple(ends))


def _groups(steps: list) -> Iterator[int]:
    """Per step: 2 x 2 groups left in the unrolled order that it reads; 0 where it reads another layout."""
    needed = [0] * (len(steps) + 1)
    for k in reversed(range(len(steps))):
        _, _, spec, _, read, after, _ = steps[k]
        if read.layout != "unrolled":
            continue
        pattern, options = nested(spec)
        goes_on = k + 1 < len(steps) and after.layout == "unrolled" and steps[k + 1][4].layout == "unrolled"
        later = needed[k + 1] + _halvings(read, after) if goes_on else 0
        needed[k] = max(pattern.groups(options, read), later)
    seen = 0
    for k, (_, _, _, flow, read, _, _) in enumerate(steps):
        if read.layout != "unrolled":
            seen = 0
        elif flow.layout != "unrolled":
            seen = needed[k]
        else:  # the stretch goes on: what it began with, less the poolings since
            seen -= _halvings(steps[k - 1][4], steps[k - 1][5])
        yield seen


def _halvings(before: Flow, after: Flow) -> int:
    return (after.scale // before.scale).bit_length() - 1


def smallest_side(architecture: Architecture, lowest: int, tokens: int) -> int:
    """The least side, in steps of 8 pixels from `lowest`, of images for which a design exists and keeps so many tokens
    at the end of each stage; its own where there is none below it."""
    own = architecture.resolution
    for side in range(lowest, own, 8):
        try:
            ends = plan(replace(architecture, resolution=side)).ends
        except DesignError:
            continue
        if all(end.tokens >= tokens for end in ends):
            return side
    return own
