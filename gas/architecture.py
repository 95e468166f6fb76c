"""An architecture as plain, frozen data: what a design is, with nothing left to decide.

It knows no pattern: it holds names and options, has a content id, and goes to and from plain data (dicts, lists,
numbers, text). Options that equal their pattern's default are left out by the loader, so two files that mean the
same design have the same id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gas.errors import DesignError

Value = "bool | int | float | str | None | Spec | tuple"


@dataclass(frozen=True)
class Spec:
    """A pattern's name with its options; a value may itself be a Spec (a transformer block holds its mixers).

    Args:
        pattern: Registered name.
        items: Options as (name, value) pairs, sorted by name; use `Spec.of` to build from keywords.
    """

    pattern: str
    items: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, pattern: str, **options: Any) -> Spec:
        """A Spec from keywords."""
        return cls(pattern, tuple(sorted(options.items())))

    @property
    def options(self) -> dict[str, Any]:
        """The options as a fresh dict."""
        return dict(self.items)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `{"pattern": name, option: value, ...}`."""
        return {"pattern": self.pattern, **{k: _plain(v) for k, v in self.items}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "") -> Spec:
        """The inverse of `to_dict`; DesignError where no pattern is named."""
        if not isinstance(data, Mapping) or not isinstance(data.get("pattern"), str):
            raise DesignError(where, f"got {data!r}; expected a mapping with a `pattern`")
        options = {k: _spec_value(v, f"{where}.{k}") for k, v in data.items() if k != "pattern"}
        return cls.of(data["pattern"], **options)


@dataclass(frozen=True)
class Group:
    """`depth` blocks of one pattern in a row."""

    block: Spec
    depth: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the block's, with `depth`."""
        data = self.block.to_dict()
        return {"pattern": data.pop("pattern"), "depth": self.depth, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "") -> Group:
        """The inverse of `to_dict`."""
        if not isinstance(data, Mapping) or not isinstance(data.get("depth", 1), int):
            raise DesignError(where, f"got {data!r}; expected a mapping with an integer `depth`")
        return cls(Spec.from_dict({k: v for k, v in data.items() if k != "depth"}, where), data.get("depth", 1))


@dataclass(frozen=True)
class Stage:
    """A stretch of blocks at one width and resolution, and the way it is entered.

    Args:
        dim: Width (channels) that every block of the stage gives out.
        blocks: Block groups, in order.
        entry: Pattern that leads into the stage (Q-pooling, ...); None where the first block follows directly.
    """

    dim: int
    blocks: tuple[Group, ...]
    entry: Spec | None = None

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(group.depth for group in self.blocks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        entry = {} if self.entry is None else {"entry": self.entry.to_dict()}
        return {**entry, "dim": self.dim, "blocks": [group.to_dict() for group in self.blocks]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "") -> Stage:
        """The inverse of `to_dict`."""
        try:
            entry = data.get("entry")
            blocks = tuple(Group.from_dict(b, f"{where}.blocks[{i}]") for i, b in enumerate(data["blocks"]))
            return cls(data["dim"], blocks, None if entry is None else Spec.from_dict(entry, f"{where}.entry"))
        except (KeyError, TypeError, AttributeError) as error:
            raise DesignError(where, f"got {data!r}; expected a stage with `dim` and `blocks`") from error


@dataclass(frozen=True)
class Architecture:
    """One complete design.

    Args:
        stem: How the image becomes features.
        stages: The stages, in order.
        head: What reads the last stage.
        resolution: Side of the (square) input image, pixels.
        channels: Channels of the input image.
        name: For people; not part of the content id, and two designs that differ only in it are equal.
    """

    stem: Spec
    stages: tuple[Stage, ...]
    head: Spec
    resolution: int = 224
    channels: int = 3
    name: str = field(default="", compare=False)

    @cached_property
    def id(self) -> str:
        """Content id: 12 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks per stage."""
        return tuple(stage.depth for stage in self.stages)

    @property
    def dims(self) -> tuple[int, ...]:
        """Width per stage."""
        return tuple(stage.dim for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Plain data in the form of a design file (without the name)."""
        return {
            "input": {"resolution": self.resolution, "channels": self.channels},
            "stem": self.stem.to_dict(),
            "stages": [stage.to_dict() for stage in self.stages],
            "head": self.head.to_dict(),
        }

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks. Equal texts mean equal designs."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], name: str = "") -> Architecture:
        """The inverse of `to_dict`; DesignError naming the part that is missing."""
        try:
            stages = tuple(Stage.from_dict(s, f"stages[{i}]") for i, s in enumerate(data["stages"]))
            return cls(
                Spec.from_dict(data["stem"], "stem"),
                stages,
                Spec.from_dict(data["head"], "head"),
                data["input"]["resolution"],
                data["input"].get("channels", 3),
                name,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DesignError("", f"got a design without {error}; expected input, stem, stages and head") from error

    @classmethod
    def from_json(cls, text: str, name: str = "") -> Architecture:
        """The inverse of `to_json`."""
        return cls.from_dict(json.loads(text), name)

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Every leaf as (path, value): (`stages[0].blocks[0].mixer.head_dim`, 64)."""
        yield from _leaves("", self.to_dict())


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}[{index}]", inner)
    else:
        yield path, value


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _spec_value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return Spec.from_dict(value, where)
    if isinstance(value, list):
        return tuple(_spec_value(v, f"{where}[{i}]") for i, v in enumerate(value))
    return value
