"""Whether a design belongs to a space: the design cut as the chain is, and where it departs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gas.architecture import Architecture


def pieces(architecture: Architecture) -> list[Any]:
    """The design cut as the chain cuts it."""
    found: list[Any] = [(architecture.resolution, architecture.channels, architecture.stem)]
    for stage in architecture.stages:
        found.append((stage.entry, stage.dim))
        found += stage.blocks
    return [*found, architecture.head]


def departure(want: Any, values: Sequence[Any]) -> str:
    """What of a piece is not among the choices, in words."""
    absent = "its default"
    wanted, possible = dict(_flat(want)), [dict(_flat(value)) for value in values]
    for key in dict.fromkeys([*wanted, *(key for each in possible for key in each)]):
        value = wanted.get(key, absent)
        choices = {each.get(key, absent) for each in possible}
        if value not in choices:
            listed = sorted(choices, key=lambda c: (str(type(c)), c if isinstance(c, int | float) else str(c)))
            return f"got {key} {value}; the space has {', '.join(map(str, listed))}"
    return f"got {wanted}; the space has each value, but not together"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, tuple):  # a stem or the way into a stage, as `pieces` cuts them
        names = ("entry", "dim") if len(value) == 2 else ("resolution", "channels", "")
        for part, inner in zip(names, value, strict=True):
            yield from _flat(inner, part)
    else:
        yield name, value
