"""Marked YAML -> typed tree. Every problem of a file is found and said at once, each with its place."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
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
DEPTH = plain_type(Annotated[int, Field(ge=0, le=1000)])
INPUT_KEYS = ("resolution", "channels")
STAGE_KEYS = ("entry", "dim", "blocks")
BROKEN = Fixed("", None)  # stands in for what could not be read, so that reading goes on to the next problem


When = tuple[tuple[str, Any], ...]


@dataclass
class _Draft:
    """A decision while reading: branches at one path with the same choices become one decision.

    Args:
        path: Where it stands.
        choices: Its choices.
        whens: For each branch that holds it: the (path, choice) pairs that lead there, outermost first.
    """

    path: str
    choices: tuple[Any, ...]
    whens: list[When]

    @property
    def when(self) -> When:
        """What all its branches have in common."""
        return tuple(pair for pair in self.whens[0] if all(pair in other for other in self.whens))


@dataclass(frozen=True)
class Reference:
    """A tie, or a path in a derived value.

    Args:
        mark: Where the file says it.
        path: The path referred to.
        at: The path of the value that it decides.
        before: How many paths had been read by then.
        slot: Kind of pattern that it must give; None for a plain value.
    """

    mark: Mark
    path: str
    at: str
    before: int
    slot: str | None = None


class TreeReader:
    """Reads the design part of a file: input, stem, stages, head."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.drafts: list[_Draft] = []
        self.references: list[Reference] = []
        self.paths: dict[str, str | None] = {}  # every path that is written, in reading order, with its slot's kind
        self.patterns: defaultdict[str, set[str]] = defaultdict(set)  # what may stand at a path
        self.left_out: set[str] = set()  # options that some pattern leaves at their default
        self._when: When = ()
        self._above = -1  # number of the decision whose branch is being read

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
        self.paths[at] = kind.slot
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
            return Fixed(at, kind.adapter.validate_python(_tupled(mark.plain())))
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
        self.patterns[at].add(name)
        return PatternNode(at, name, self._options(mark, name, at, ("pattern",)))

    def group(self, mark: Mark, at: str) -> Any:
        """A block group, or a choice among groups."""
        self.paths[at] = "block"
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
        names = [draft.path for draft in self.drafts]
        for name in (lambda d: _qualified(d, 1), lambda d: _qualified(d, None)):
            twice = {n for n, count in Counter(names).items() if count > 1}
            names = [name(d) if n in twice else n for n, d in zip(names, self.drafts, strict=True)]
        return tuple(Decision(name, d.choices, d.when) for name, d in zip(names, self.drafts, strict=True))

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
        depth = self.leaf(mark.value["depth"], DEPTH, f"{at}.depth")
        node = self.pattern(block, kind, at)
        return GroupNode(at, node, depth) if isinstance(node, PatternNode) else BROKEN

    def _options(self, mark: Mark, pattern: str, at: str, also: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
        types = option_types_cached(pattern)
        required = [name for name, kind in types.items() if kind.required]
        entries = self.mapping(mark, (*also, *types), required)
        self.left_out |= {f"{at}.{name}" for name in types if name not in entries}
        return tuple((n, self.leaf(m, types[n], f"{at}.{n}")) for n, m in entries.items() if n in types)

    def _choice(self, mark: Mark, options: list[Mark], kind: OptionType, at: str, read: Callable | None = None) -> Any:
        labels = _labels(options, kind.slot is not None)
        plain = [option.plain() for option in options]
        for number, option in enumerate(options):
            if _decision_form(option):
                self.problems.add(option, "a choice may not itself be a decision; list its choices here instead")
            if plain[number] in plain[:number]:
                self.problems.add(option, f"the choice {plain[number]!r} stands twice")
        index = self._enter(at, tuple(labels))
        outer = self._when, self._above
        nodes = []
        for option, label in zip(options, labels, strict=True):
            self._when, self._above = (*outer[0], (at, label)), index
            nodes.append((read or self.value)(option, kind, at))
        self._when, self._above = outer
        return Choice(at, index, tuple(nodes))

    def _enter(self, path: str, choices: tuple[Any, ...]) -> int:
        """The number of a decision: that of an equal one in another branch, else a new one."""
        for index, draft in enumerate(self.drafts):
            # 1 and 1.0 and True are equal in Python, but not in a design. A decision comes after the one above it.
            same = draft.path == path and list(map(repr, draft.choices)) == list(map(repr, choices))
            if same and index > self._above:
                draft.whens.append(self._when)
                return index
        self.drafts.append(_Draft(path, choices, [self._when]))
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
        steps = (high - low) / step + 1e-9 if step > 0 else -1
        if not 0 <= steps < 10_000:
            self.problems.add(mark, describe(mark.plain(), "low <= high and step > 0, and at most 10,000 values"))
            return []
        whole = isinstance(step, int)
        return [low + i * step if whole else round(low + i * step, 10) for i in range(math.floor(steps) + 1)]

    def _tie(self, mark: Mark, kind: OptionType, at: str) -> Any:
        if not isinstance(mark.value, str):
            self.problems.add(mark, describe(mark.plain(), "a path such as stages[0].dim"))
            return BROKEN
        source = normal_path(mark.value)
        self.references.append(Reference(mark, source, at, len(self.paths), kind.slot))
        if kind.slot:
            self.patterns[at] |= self.patterns[source]
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
        self.references += [Reference(mark, path, at, len(self.paths)) for path in expression.paths]
        return Derived(at, expression, kind)


def _tupled(value: Any) -> Any:
    """Lists as tuples: what a design holds can be hashed."""
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value


def _decision_form(mark: Mark) -> str | None:
    if not isinstance(mark.value, dict) or "pattern" in mark.value:
        return None
    return next((form for form in DECISION_FORMS if form in mark.value), None)


def _labels(options: list[Mark], patterns: bool) -> list[Any]:
    """A name for each choice: a plain value itself, a pattern by its name, numbered where it stands twice."""
    raw = []
    for option in options:
        value = option.plain()
        if patterns and isinstance(value, dict):
            value = value.get("pattern")
        raw.append("none" if value is None else value)
    if not patterns:
        return [_tupled(value) for value in raw]
    return [f"{label}#{raw[: i + 1].count(label)}" if raw.count(label) > 1 else label for i, label in enumerate(raw)]


def _qualified(draft: _Draft, levels: int | None) -> str:
    """`a.mixer.kernel` -> `a.mixer(conv).kernel`: the branch named where it was chosen.

    Args:
        draft: The decision.
        levels: How many of the choices that lead to it are named, innermost first; None for all.
    """
    labels: dict[str, dict[str, None]] = {}
    for when in draft.whens:
        for path, label in when:
            labels.setdefault(path, {})[str(label)] = None
    text, rest = "", draft.path
    for path in sorted(labels, key=len)[-levels if levels else 0 :]:
        head = path.removeprefix(draft.path[: len(draft.path) - len(rest)])
        text, rest = f"{text}{head}({'|'.join(labels[path])})", rest.removeprefix(head)
    return text + rest


def _literals(error: Any) -> list[str]:
    listed = str(error.get("ctx", {}).get("expected", ""))
    return [part.strip(" '") for part in listed.replace(" or ", ",").split(",") if part.strip()]
