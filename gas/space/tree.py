"""The typed tree of a search space: values, decisions, ties and patterns, and how each unfolds.

`unfold(node, known)` yields every way in which a node can be decided: its value, the choices made on the way, and
what is then known. `known` maps the paths that something refers to (ties, derived values, rules) to their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args

import pydantic

from gas.architecture import Group, Spec
from gas.errors import DesignError
from gas.patterns.base import PATTERNS, Slot, options_of
from gas.space.expressions import Expression, ExpressionError

Known = Mapping[str, Any]
Codes = tuple[tuple[int, int], ...]
Unfolded = tuple[Any, Codes, Known]


@dataclass(frozen=True)
class OptionType:
    """What an option of a pattern, or another leaf of the language, may hold.

    Args:
        adapter: Checks and normalises a plain value; None for a slot.
        slot: Kind of pattern that it holds; None for a plain value.
        required: True where there is no default.
        default: The default.
        optional: True where it may be left empty (null).
    """

    adapter: pydantic.TypeAdapter | None
    slot: str | None = None
    required: bool = True
    default: Any = None
    optional: bool = False


@dataclass(frozen=True)
class Decision:
    """One thing to decide.

    Args:
        path: Its place in the design: `stages[1].blocks[0].mixer.head_dim`. Where two branches hold different choices
            at one place, the branch is named in it: `...mixer(global_attention).head_dim`.
        choices: All values, constant over the space; a pattern is named by its label (`mask_unit_attention`).
        when: The (path, value) pairs without which the decision does not exist.
    """

    path: str
    choices: tuple[Any, ...]
    when: tuple[tuple[str, Any], ...] = ()

    @property
    def ordered(self) -> bool:
        """True where the choices are numbers in rising order."""
        numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in self.choices)
        return numbers and all(a < b for a, b in zip(self.choices[:-1], self.choices[1:], strict=True))


@dataclass(frozen=True)
class Fixed:
    """A value that is not up for decision."""

    at: str
    value: Any


@dataclass(frozen=True)
class Choice:
    """A decision: `index` is its number in the space."""

    at: str
    index: int
    options: tuple[Any, ...]


@dataclass(frozen=True)
class Tie:
    """The value of another path."""

    at: str
    source: str
    type: OptionType


@dataclass(frozen=True)
class Derived:
    """A value worked out from others."""

    at: str
    expression: Expression
    type: OptionType


@dataclass(frozen=True)
class PatternNode:
    """A pattern whose options are nodes."""

    at: str
    pattern: str
    entries: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class GroupNode:
    """A block group: unfolds to Groups."""

    at: str
    block: PatternNode
    depth: Any


@dataclass(frozen=True)
class StageNode:
    """A stage of the tree."""

    dim: Any
    blocks: tuple[Any, ...]
    entry: Any = None


@dataclass(frozen=True)
class Tree:
    """A whole space, typed.

    Args:
        resolution: Node of the image side.
        channels: Node of the image channels.
        stem: Node of the stem.
        stages: The stages.
        head: Node of the head.
        decisions: All decisions; a Choice's `index` points into it.
        rules: What every design must satisfy.
        needed: Paths whose values something refers to.
    """

    resolution: Any
    channels: Any
    stem: Any
    stages: tuple[StageNode, ...]
    head: Any
    decisions: tuple[Decision, ...]
    rules: tuple[Expression, ...] = ()
    needed: frozenset[str] = field(default_factory=frozenset)


def option_types(pattern: str) -> dict[str, OptionType]:
    """The options of a pattern and what each may hold."""
    result = {}
    for name, info in PATTERNS.get(pattern).Options.model_fields.items():
        slot = next((m.kind for m in info.metadata if isinstance(m, Slot)), None)
        annotation = info.annotation
        for extra in info.metadata:
            annotation = Annotated[annotation, extra]
        adapter = None if slot else _adapter(annotation)
        optional = type(None) in get_args(info.annotation)
        result[name] = OptionType(adapter, slot, info.is_required(), info.default, optional)
    return result


def plain_type(annotation: Any) -> OptionType:
    """The type of a leaf that belongs to no pattern (a depth, a resolution)."""
    return OptionType(_adapter(annotation))


def unfold(node: Any, known: Known, needed: frozenset[str], reasons: list[DesignError]) -> Iterator[Unfolded]:
    """Every way to decide a node.

    Args:
        node: Any node of the tree.
        known: Values of the paths decided before it.
        needed: Paths to remember.
        reasons: Takes a note of every combination that turned out impossible.

    Yields:
        (value, choices made as (decision, choice) pairs, what is known afterwards).
    """
    if isinstance(node, Fixed):
        yield node.value, (), _learn(known, node.at, node.value, needed)
    elif isinstance(node, Choice):
        for number, option in enumerate(node.options):
            for value, codes, then in unfold(option, known, needed, reasons):
                yield value, ((node.index, number), *codes), _learn(then, node.at, value, needed)
    elif isinstance(node, Tie | Derived):
        try:
            value = _referred(node, known)
        except DesignError as error:
            reasons.append(error)
            return
        yield value, (), _learn(known, node.at, value, needed)
    elif isinstance(node, PatternNode):
        yield from _unfold_pattern(node, known, needed, reasons)
    elif isinstance(node, GroupNode):
        for depth, codes, then in unfold(node.depth, known, needed, reasons):
            for block, inner, last in unfold(node.block, then, needed, reasons):
                if depth == 0:  # what an absent block would be is not up for decision: its first way stands for all
                    yield Group(block, depth), codes, last
                    break
                yield Group(block, depth), codes + inner, last


def value_at(known: Known, path: str) -> Any:
    """The value known at a path, or inside a pattern known above it (defaults too); KeyError where there is none."""
    above, names = path, []
    while above not in known:
        above, _, name = above.rpartition(".")
        if not above:
            raise KeyError(path)
        names.append(name)
    value = known[above]
    for name in reversed(names):
        value = _option(value, name)
        if value is None:
            raise KeyError(path)
    return value.pattern if isinstance(value, Spec) else value


def _option(value: Any, name: str) -> Any:
    if not isinstance(value, Spec):
        return None
    return value.pattern if name == "pattern" else getattr(options_of(value), name, None)


class Values(Mapping):
    """`known`, read by expressions: a pattern reads as its name."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def __getitem__(self, path: str) -> Any:
        return value_at(self._known, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _unfold_pattern(
    node: PatternNode, known: Known, needed: frozenset[str], reasons: list[DesignError]
) -> Iterator[Unfolded]:
    types = option_types_cached(node.pattern)

    def fill(rest: tuple, options: dict[str, Any], codes: Codes, then: Known) -> Iterator[Unfolded]:
        if not rest:
            spec = Spec.of(node.pattern, **options)
            yield spec, codes, _learn(then, node.at, spec, needed)
            return
        (name, inner), *others = rest
        for value, more, after in unfold(inner, then, needed, reasons):
            # An option at its default is left out, so that equal designs have equal ids.
            kept = options if value == types[name].default else {**options, name: value}
            yield from fill(tuple(others), kept, codes + more, after)

    yield from fill(node.entries, {}, (), known)


_TYPES: dict[str, dict[str, OptionType]] = {}


def option_types_cached(pattern: str) -> dict[str, OptionType]:
    """`option_types`, worked out once per pattern."""
    if pattern not in _TYPES:
        _TYPES[pattern] = option_types(pattern)
    return _TYPES[pattern]


def _referred(node: Tie | Derived, known: Known) -> Any:
    """The value that a tie or derived value takes; DesignError where there is none or it does not fit."""
    try:
        if isinstance(node, Derived):
            value = node.expression(Values(known))
            if isinstance(value, float) and value.is_integer():
                value = int(value)
        elif node.type.slot:
            value = known[node.source]
        else:
            value = value_at(known, node.source)
    except KeyError as error:
        raise DesignError(node.at, f"{error.args[0]} does not exist in this design") from error
    except ExpressionError as error:
        raise DesignError(node.at, str(error)) from error
    if node.type.slot:
        return value
    try:
        return node.type.adapter.validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        raise DesignError(node.at, f"got {value!r}; {expected(error)}") from error


LISTS = {
    "tuple_type": "a list such as [1, 2]",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
}


def expected(error: pydantic.ValidationError) -> str:
    """What a value should have been, in words: `expected an integer greater than 0`."""
    texts = []
    for item in error.errors():
        if item["type"] == "none_required":
            continue
        text = item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        if item["type"] in LISTS:  # files have lists; that a design holds tuples is no matter of theirs
            text = LISTS[item["type"]].format(**item.get("ctx", {}))
        where = f" at [{item['loc'][-1]}]" if item["loc"] and isinstance(item["loc"][-1], int) else ""
        texts.append(text[:1].lower() + text[1:] + where)
    return "expected " + " or ".join(dict.fromkeys(texts))


def _learn(known: Known, path: str, value: Any, needed: frozenset[str]) -> Known:
    return {**known, path: value} if path in needed else known


def _adapter(annotation: Any) -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(strict=True))
