"""Marked YAML -> typed tree. Every problem of a file is found and said at once, each with its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
from pydantic import Field

from gas.errors import describe
from gas.patterns.base import PATTERNS
from gas.space.expressions import ExpressionError, normal_path, parse_expression
from gas.space.text import Mark, Problems
from gas.space.tree import (
    Choice,
    Decision,
    Derived,
    Fixed,
    GroupNode,
    OptionType,
    PatternNode,
    StageNode,
    Tie,
    expected,
    option_types_cached,
    plain_type,
)

DECISION_FORMS = ("choose", "range", "same", "derive")
POSITIVE = plain_type(Annotated[int, Field(gt=0)])
DEPTH = plain_type(Annotated[int, Field(ge=0)])
INPUT_KEYS = ("resolution", "channels")
STAGE_KEYS = ("entry", "dim", "blocks")
BROKEN = Fixed("", None)  # stands in for what could not be read, so that reading goes on to the next problem


@dataclass
class _Draft:
    """A decision while reading: branches at one path with the same choices become one decision."""

    path: str
    choices: tuple[Any, ...]
    when: tuple[tuple[str, Any], ...]
    branch: str


class TreeReader:
    """Reads the design part of a file: input, stem, stages, head."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.drafts: list[_Draft] = []
        self.ties: list[tuple[Mark, str, int]] = []  # where it stands, path referred to, decisions read before it
        self.paths: dict[str, None] = {}  # every path that a tie may name, in reading order
        self._when: tuple[tuple[str, Any], ...] = ()
        self._branch = ""

    def mapping(self, mark: Mark, allowed: Iterable[str], required: Iterable[str] = ()) -> dict[str, Mark]:
        """The entries of a mapping; notes what is no mapping, unknown keys and missing keys."""
        allowed = tuple(allowed)
        if not isinstance(mark.value, dict):
            self.problems.add(mark, describe(mark.plain(), f"a mapping with {', '.join(allowed) or 'no keys'}"))
            return {}
        for key in mark.value:
            if key not in allowed:
                text = describe(key, f"one of {', '.join(allowed)}" if allowed else "no key", known=allowed)
                self.problems.add(mark, text, key=key)
        for key in required:
            if key not in mark.value:
                self.problems.add(mark, f"the key {key!r} is missing")
        return {k: v for k, v in mark.value.items() if k in allowed}

    def leaf(self, mark: Mark, kind: OptionType, at: str) -> Any:
        """A node for a plain value, a decision about one, or a pattern in a slot."""
        self.paths[at] = None
        form = _decision_form(mark)
        if form is None:
            return self.value(mark, kind, at)
        entries = self.mapping(mark, (form,))
        if form == "same":
            return self._tie(entries["same"], kind, at)
        if form == "derive":
            return self._derived(entries["derive"], kind, at)
        if form == "range":
            if kind.slot:
                self.problems.add(mark, "a range is of numbers; expected `choose` among patterns")
                return BROKEN
            options = [Mark(v, mark.path, mark.line, mark.column) for v in self._range(entries["range"])]
        else:
            options = entries["choose"].value
            if not isinstance(options, list) or not options:
                self.problems.add(entries["choose"], describe(entries["choose"].plain(), "a list of choices"))
                return BROKEN
        return self._choice(mark, options, kind, at)

    def value(self, mark: Mark, kind: OptionType, at: str) -> Any:
        """A node for a value with nothing left to decide at its own level."""
        if kind.slot:
            return self.pattern(mark, kind, at)
        if isinstance(mark.value, dict):
            forms = ", ".join(DECISION_FORMS)
            self.problems.add(mark, describe(mark.plain(), f"a value, or a mapping with one of {forms}"))
            return BROKEN
        try:
            return Fixed(at, kind.adapter.validate_python(mark.plain()))
        except pydantic.ValidationError as error:
            known = [str(c) for e in error.errors() for c in _literals(e)]
            self.problems.add(mark, describe(mark.plain(), expected(error).removeprefix("expected "), known=known))
            return BROKEN

    def pattern(self, mark: Mark, kind: OptionType, at: str) -> Any:
        """A pattern by its bare name, or as a mapping with `pattern` and its options."""
        if mark.value is None and kind.optional:
            return Fixed(at, None)
        if isinstance(mark.value, str):
            mark = Mark({"pattern": mark}, mark.path, mark.line, mark.column, {"pattern": (mark.line, mark.column)})
        if not isinstance(mark.value, dict) or "pattern" not in mark.value:
            self.problems.add(
                mark, describe(mark.plain(), f"a {kind.slot} pattern: a name or a mapping with `pattern`")
            )
            return BROKEN
        name = mark.value["pattern"].plain()
        fitting = [n for n in PATTERNS if PATTERNS.get(n).kind == kind.slot]
        if name not in fitting:
            self.problems.add(mark.value["pattern"], describe(name, f"one of {', '.join(fitting)}", known=fitting))
            return BROKEN
        return PatternNode(at, name, self._options(mark, name, at, ("pattern",)))

    def group(self, mark: Mark, at: str) -> Any:
        """A block group, or a choice among groups."""
        self.paths[at] = None
        if _decision_form(mark) == "choose":
            options = mark.value["choose"].value
            self.mapping(mark, ("choose",))
            if not isinstance(options, list) or not options:
                self.problems.add(mark, describe(mark.plain(), "a list of block groups"))
                return BROKEN
            return self._choice(mark, options, OptionType(None, "block"), at, read=self._one_group)
        return self._one_group(mark, OptionType(None, "block"), at)

    def stage(self, mark: Mark, at: str) -> StageNode | None:
        """A stage."""
        entries = self.mapping(mark, STAGE_KEYS, ("dim", "blocks"))
        if "dim" not in entries or "blocks" not in entries:
            return None
        entry_type = OptionType(None, "entry", required=False, optional=True)
        entry = self.leaf(entries["entry"], entry_type, f"{at}.entry") if "entry" in entries else None
        dim = self.leaf(entries["dim"], POSITIVE, f"{at}.dim")
        groups = entries["blocks"].value
        if not isinstance(groups, list) or not groups:
            self.problems.add(entries["blocks"], describe(entries["blocks"].plain(), "a list of block groups"))
            return None
        return StageNode(dim, tuple(self.group(g, f"{at}.blocks[{j}]") for j, g in enumerate(groups)), entry)

    def decisions(self) -> tuple[Decision, ...]:
        """All decisions read; a path that two branches fill with different choices carries the branch's name."""
        clashing = {d.path for d in self.drafts for e in self.drafts if e.path == d.path and e is not d}
        return tuple(Decision(_qualified(d) if d.path in clashing else d.path, d.choices, d.when) for d in self.drafts)

    def _one_group(self, mark: Mark, kind: OptionType, at: str) -> Any:
        if isinstance(mark.value, dict) and "depth" not in mark.value:
            self.problems.add(mark, "the key 'depth' is missing")
            return BROKEN
        if not isinstance(mark.value, dict):
            self.problems.add(mark, describe(mark.plain(), "a block group: a mapping with `pattern` and `depth`"))
            return BROKEN
        block = Mark(
            {k: v for k, v in mark.value.items() if k != "depth"}, mark.path, mark.line, mark.column, mark.keys
        )
        node = self.pattern(block, kind, at)
        depth = self.leaf(mark.value["depth"], DEPTH, f"{at}.depth")
        return GroupNode(at, node, depth) if isinstance(node, PatternNode) else BROKEN

    def _options(self, mark: Mark, pattern: str, at: str, also: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
        types = option_types_cached(pattern)
        required = [name for name, kind in types.items() if kind.required]
        entries = self.mapping(mark, (*also, *types), required)
        return tuple((n, self.leaf(m, types[n], f"{at}.{n}")) for n, m in entries.items() if n in types)

    def _choice(self, mark: Mark, options: list[Mark], kind: OptionType, at: str, read: Callable | None = None) -> Any:
        labels = _labels(options)
        for option, label in zip(options, labels, strict=True):
            if _decision_form(option):
                self.problems.add(option, "a choice may not itself be a decision; list its choices here instead")
            if not kind.slot and labels.count(label) > 1:
                self.problems.add(option, f"the choice {label!r} stands twice")
        index = self._enter(at, tuple(labels))
        nodes = []
        for option, label in zip(options, labels, strict=True):
            outer = self._when, self._branch
            self._when, self._branch = (*self._when, (at, label)), str(label)
            nodes.append((read or self.value)(option, kind, at))
            self._when, self._branch = outer
        return Choice(at, index, tuple(nodes))

    def _enter(self, path: str, choices: tuple[Any, ...]) -> int:
        """The number of a decision: that of an equal one in another branch, else a new one."""
        for index, draft in enumerate(self.drafts):
            # 1 and 1.0 and True are equal in Python, but not in a design.
            if draft.path == path and list(map(repr, draft.choices)) == list(map(repr, choices)):
                draft.when = tuple(w for w in draft.when if w in self._when)
                return index
        self.drafts.append(_Draft(path, choices, self._when, self._branch))
        return len(self.drafts) - 1

    def _range(self, mark: Mark) -> list[Any]:
        numbers = mark.plain()
        if not isinstance(numbers, list) or len(numbers) not in (2, 3):
            self.problems.add(mark, describe(numbers, "[low, high] or [low, high, step]"))
            return []
        numbers = [*numbers, 1] if len(numbers) == 2 else numbers
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            self.problems.add(mark, describe(mark.plain(), "numbers"))
            return []
        low, high, step = numbers
        count = math.floor((high - low) / step + 1e-9) + 1 if step > 0 else 0
        if count < 1 or count > 10_000:
            self.problems.add(mark, describe(mark.plain(), "low <= high and step > 0, and at most 10,000 values"))
            return []
        return [low + i * step if isinstance(step, int) else round(low + i * step, 10) for i in range(count)]

    def _tie(self, mark: Mark, kind: OptionType, at: str) -> Any:
        if not isinstance(mark.value, str):
            self.problems.add(mark, describe(mark.plain(), "a path such as stages[0].dim"))
            return BROKEN
        source = normal_path(mark.value)
        self.ties.append((mark, source, len(self.paths)))
        return Tie(at, source, kind)

    def _derived(self, mark: Mark, kind: OptionType, at: str) -> Any:
        if kind.slot:
            self.problems.add(mark, "a pattern cannot be derived; expected `same` or `choose`")
            return BROKEN
        try:
            expression = parse_expression(str(mark.plain()))
        except ExpressionError as error:
            self.problems.add(mark, str(error))
            return BROKEN
        self.ties += [(mark, path, len(self.paths)) for path in expression.paths]
        return Derived(at, expression, kind)


def _decision_form(mark: Mark) -> str | None:
    if not isinstance(mark.value, dict) or "pattern" in mark.value:
        return None
    return next((form for form in DECISION_FORMS if form in mark.value), None)


def _labels(options: list[Mark]) -> list[Any]:
    """A name for each choice: a plain value itself, a pattern by its name, numbered where it stands twice."""
    raw = []
    for option in options:
        value = option.plain()
        if isinstance(value, dict):
            value = value.get("pattern")
        raw.append("none" if value is None else value)
    patterns = [isinstance(o.value, dict) for o in options]
    return [
        f"{label}#{raw[: i + 1].count(label)}" if patterns[i] and raw.count(label) > 1 else label
        for i, label in enumerate(raw)
    ]


def _qualified(draft: _Draft) -> str:
    """`a.mixer.kernel` -> `a.mixer(conv).kernel`: the branch named where it was chosen."""
    if not draft.when:
        return draft.path
    above = draft.when[-1][0]
    return f"{above}({draft.branch}){draft.path.removeprefix(above)}"


def _literals(error: Any) -> list[str]:
    listed = str(error.get("ctx", {}).get("expected", ""))
    return [part.strip(" '") for part in listed.replace(" or ", ",").split(",") if part.strip()]
