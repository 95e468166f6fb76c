"""Whether a design belongs to a space: the design cut as the chain is, and where it departs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gas.architecture import Architecture, Group, Spec
from gas.errors import DesignError
from gas.space.segments import Segment
from gas.space.tree import option_types_cached

SHOWN = 12  # choices that a message lists
_ENTRY = ("entry", "dim")
_STEM = ("resolution", "channels", "")


def pieces(architecture: Architecture, chain: Sequence[Segment]) -> list[Any]:
    """The design cut as the chain cuts it.

    Args:
        architecture: The design.
        chain: Segments of the space.

    Raises:
        DesignError: It has other numbers of stages, or of block groups in a stage.
    """
    stages = sum(segment.kind == "enter" for segment in chain)
    if len(architecture.stages) != stages:
        raise DesignError("stages", f"got {len(architecture.stages)}; expected {stages}")
    found: list[Any] = [(architecture.resolution, architecture.channels, architecture.stem)]
    for number, stage in enumerate(architecture.stages):
        groups = sum(segment.kind == "group" and segment.stage == number for segment in chain)
        if len(stage.blocks) != groups:
            raise DesignError(f"stages[{number}].blocks", f"got {_groups(len(stage.blocks))}; expected {groups}")
        found.append((stage.entry, stage.dim))
        found += stage.blocks
    return [*found, architecture.head]


def departure(want: Any, values: Sequence[Any], segment: Segment) -> DesignError:
    """Where a piece departs from all that may stand there: the decision, what would do, and what is nearest.

    What would do is said for a piece that is as wanted up to there, patterns first: a width that another pattern allows
    is of no help to this one.

    Args:
        want: A piece, which is none of `values`.
        values: What may stand there, behind what stands before it in the design.
        segment: Where that is.
    """
    wanted, left = dict(_flat(want)), [dict(_flat(value)) for value in values]
    for key in sorted(wanted, key=lambda key: not isinstance(wanted[key], _Named)):
        value, choices = wanted[key], {each[key] for each in left if key in each}
        if value not in choices:
            return DesignError(_path(segment, key), _told(value, sorted(choices, key=_order)))
        left = [each for each in left if key in each and each[key] == value]
    raise AssertionError(f"{segment.path}: the piece is among those that may stand there")


class _Named(str):
    """The name of a pattern, `none` where there is none; told from text that is an option's value."""


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a piece by its path, options left at their defaults included."""
    if isinstance(value, tuple) and len(value) in (2, 3) and not name:  # as `pieces` cuts the entry and the stem
        for part, inner in zip(_ENTRY if len(value) == 2 else _STEM, value, strict=True):
            yield from _flat(_Named("none") if inner is None else inner, part or "stem")
    elif isinstance(value, Group):
        yield "depth", value.depth
        yield from _flat(value.block)
    elif isinstance(value, Spec):
        yield f"{name}.pattern".lstrip("."), _Named(value.pattern)
        for option, kind in option_types_cached(value.pattern).items():
            inner = value.options.get(option, kind.default)
            yield from _flat(_Named("none") if kind.slot and inner is None else inner, f"{name}.{option}".lstrip("."))
    else:
        yield (f"{name}.pattern" if isinstance(value, _Named) else name), value


def _path(segment: Segment, key: str) -> str:
    """Where a key of a piece stands in the design; a pattern goes by the path of its place."""
    key = key.removesuffix("pattern").rstrip(".")
    if segment.kind == "stem":
        return key if key.startswith("stem") else f"input.{key}"
    return f"{segment.path}.{key}" if key else segment.path


def _told(value: Any, choices: Sequence[Any]) -> str:
    listed = ", ".join(map(_said, choices[:SHOWN])) + ", ..." * (len(choices) > SHOWN)
    expected = f"one of {listed}" if len(choices) > 1 else listed
    told = f"got {_said(value)}; expected {expected}"
    numbers = [choice for choice in choices if _is_number(choice)]
    if not _is_number(value) or len(numbers) < 2:
        return told  # between patterns there is no near and far, whatever they are called
    return f"{told}; nearest {min(numbers, key=lambda choice: abs(choice - value))}"


def _said(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else "none" if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(value: Any) -> tuple:
    return (0, value, "") if _is_number(value) else (1, 0, str(value))


def _groups(count: int) -> str:
    return f"{count} block group{'s' * (count != 1)}"
