"""One segment in one state: what each way to decide it costs, and what flows out behind it."""

from __future__ import annotations

from typing import Any

from gas.architecture import Group, Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, within
from gas.plan import enter, leave, place, start
from gas.space.segments import Segment

MAX_MACS = 10**15  # sums of a few such numbers stay exact in 64 bits and in floats

Step = tuple[int, int, Flow]  # macs, params, the flow behind


class Steps:
    """Works out the ways of one segment where `flow` comes in; every block is placed once, whatever the depth.

    Args:
        segment: The segment.
        flow: What comes in.
    """

    def __init__(self, segment: Segment, flow: Flow) -> None:
        self.segment = segment
        self.flow = flow
        # By identity, because the ways of a segment share their blocks; those blocks are kept alive here.
        self._placed: dict[Any, tuple[Any, Step | DesignError]] = {}

    def __call__(self, value: Any) -> Step | DesignError:
        """Cost and flow behind; or, with its full path, why the segment cannot be decided so."""
        kind, path = self.segment.kind, self.segment.path
        if kind == "group":
            return self._group(value)
        try:
            if kind == "enter":
                return _step(*enter(*value, self.flow))
            if kind == "stem":
                resolution, channels, stem = value
                return _step(*place(stem, start(resolution, channels)))
            return _step(*place(value, self.flow)[:2], Flow(0, (0, 0)))
        except DesignError as error:
            return within(path, error)

    def _group(self, group: Group) -> Step | DesignError:
        """A block group: the first block, and the others, which are alike."""
        macs, params, out = 0, 0, self.flow
        if group.depth:
            first = self._block("first", group.block, self.flow)
            if isinstance(first, DesignError):
                return first
            macs, params, out = first
        if group.depth > 1:
            rest = self._block("rest", group.block, out)
            if isinstance(rest, DesignError):
                return rest
            macs, params = macs + (group.depth - 1) * rest[0], params + (group.depth - 1) * rest[1]
        if macs > MAX_MACS:
            return DesignError(self.segment.path, f"costs more than {MAX_MACS:.0e} macs")
        if not self.segment.last:
            return macs, params, out
        behind = self._left(out)
        return behind if isinstance(behind, DesignError) else (macs, params, behind)

    def _block(self, which: str, block: Spec, flow: Flow) -> Step | DesignError:
        key = (which, id(block))
        if key not in self._placed:
            try:
                found: Step | DesignError = _step(*place(block, flow))
            except DesignError as error:
                found = within(self.segment.path, error)
            self._placed[key] = block, found
        return self._placed[key][1]

    def _left(self, out: Flow) -> Flow | DesignError:
        key = ("left", id(out))
        if key not in self._placed:
            try:
                found: Any = leave(self.flow.target, out)
            except DesignError as error:
                found = within(f"stages[{self.segment.stage}]", error)
            self._placed[key] = out, found
        return self._placed[key][1]


def _step(cost: Cost, _: Flow, out: Flow) -> Step:
    if cost.macs > MAX_MACS or cost.params > MAX_MACS:
        raise DesignError("", f"costs more than {MAX_MACS:.0e} macs")
    return cost.macs, cost.params, out
