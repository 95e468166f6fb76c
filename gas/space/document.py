"""A whole file of the language: what it says beside the design itself, and the typed tree of the design."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gas.architecture import Spec
from gas.errors import describe, nearest
from gas.evaluation import Constraint, Objective
from gas.space.expressions import Expression, ExpressionError, parse_expression
from gas.space.loader import BROKEN, INPUT_KEYS, POSITIVE, Reference, TreeReader
from gas.space.text import Mark, Problems, mebibytes, parse, quantity
from gas.space.tree import Fixed, OptionType, Tree, option_types_cached

KEYS = (
    "name",
    "about",
    "input",
    "stem",
    "stages",
    "head",
    "objectives",
    "constraints",
    "rules",
    "compare",
    "published",
)
REQUIRED = ("input", "stem", "stages", "head")
# What a space may bound or optimise -> the metric's name in an evaluation.
METRICS = {
    "macs": "macs",
    "params": "params",
    "memory": "memory_mib",
    "latency": "latency_ms",
    "proxy": "proxy",
    "estimate.imagenet_top1": "imagenet_top1_estimate",
}
_SAID = {metric: name for name, metric in METRICS.items()}
PUBLISHED_KEYS = (
    "params",
    "macs",
    "top1",
    "resolution",
    "distilled",
    "source",
    "differs",
    "verified",
    "code",
    "checked",
)
CHECKED = {  # how the tests hold a design against its source
    "outputs": "its outputs equal those of the public code, with the same weights",
    "table": "its costs equal a table that was worked out by hand, layer by layer",
    "no": "by nothing but its total costs",
}


@dataclass(frozen=True)
class Document:
    """A file, read.

    Args:
        file: Where it came from, for messages.
        name: Its name.
        about: What it is, in words.
        tree: The design or space itself.
        objectives: What a search shall optimise, in order; metric names as in METRICS.
        constraints: Bounds; those with `of` are multiples of another design's value.
        compare: Designs that the chosen one of a search is shown beside.
        published: What its source published: params, macs, top1, ...
        text: The file's text.
        places: (line, column) by path, for problems that show later.
    """

    file: str
    name: str
    about: str
    tree: Tree
    objectives: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    compare: tuple[str, ...] = ()
    published: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: str) -> tuple[int, int]:
        """(line, column) of a path, or of the nearest one above it that the file holds."""
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places.get(path, (1, 1))


def read_document(text: str, file: str) -> Document:
    """Reads a file's text; SpaceError with all its problems."""
    root, problems = parse(text, file)
    reader = TreeReader(problems)
    entries = reader.mapping(root, KEYS, REQUIRED)
    name, about = (_text(entries.get(key), problems) for key in ("name", "about"))
    parts = _design(entries, reader, problems)
    rules = _rules(entries.get("rules"), problems)
    objectives = _objectives(entries.get("objectives"), reader, problems)
    constraints = _constraints(entries.get("constraints"), reader, problems)
    compare = _names(entries.get("compare"), problems)
    published = _published(entries.get("published"), reader, problems)
    needed = _referred_paths(reader, rules, problems)
    problems.check()
    tree = Tree(*parts, reader.decisions(), tuple(rule for _, rule in rules), needed)
    return Document(file, name, about, tree, objectives, constraints, compare, published, text, _places(root))


def said(metric: str) -> str:
    """What a space's file calls a metric: `memory` for `memory_mib`."""
    return _SAID.get(metric, metric)


def _design(entries: dict[str, Mark], reader: TreeReader, problems: Problems) -> tuple:
    inputs = reader.mapping(entries["input"], INPUT_KEYS, ("resolution",)) if "input" in entries else {}
    resolution = reader.leaf(inputs["resolution"], POSITIVE, "input.resolution") if "resolution" in inputs else BROKEN
    channels = Fixed("input.channels", 3)
    if "channels" in inputs:
        channels = reader.leaf(inputs["channels"], POSITIVE, "input.channels")
    stem = head = BROKEN
    stages = []
    if "stem" in entries:
        stem = reader.leaf(entries["stem"], OptionType(None, "stem"), "stem")
    if "stages" in entries:
        mark = entries["stages"]
        if isinstance(mark.value, list) and mark.value:
            stages = [reader.stage(m, f"stages[{i}]") for i, m in enumerate(mark.value)]
        else:
            problems.add(mark, describe(mark.plain(), "a list of stages"))
    if "head" in entries:
        head = reader.leaf(entries["head"], OptionType(None, "head"), "head")
    return resolution, channels, stem, tuple(stages), head


def _text(mark: Mark | None, problems: Problems) -> str:
    if mark is None:
        return ""
    if not isinstance(mark.value, str):
        problems.add(mark, describe(mark.plain(), "text"))
        return ""
    return mark.value.strip()


def _names(mark: Mark | None, problems: Problems) -> tuple[str, ...]:
    names = () if mark is None else mark.plain()
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        problems.add(mark, describe(names, "a list of design names such as [zoo/turbovit, hiera_tiny]"))
        return ()
    return tuple(names)


def _rules(mark: Mark | None, problems: Problems) -> list[tuple[Mark, Expression]]:
    if mark is None:
        return []
    if not isinstance(mark.value, list):
        problems.add(mark, describe(mark.plain(), "a list of comparisons such as 'stages[1].dim >= stages[0].dim'"))
        return []
    rules = []
    for item in mark.value:
        try:
            rule = parse_expression(str(item.plain()))
        except ExpressionError as error:
            problems.add(item, str(error))
            continue
        if not rule.paths:
            problems.add(item, f"{rule.text!r} refers to no path, so it decides nothing")
            continue
        if not rule.decides:
            problems.add(item, f"{rule.text!r} is no comparison; expected one such as stages[1].dim >= stages[0].dim")
            continue
        rules.append((item, rule))
    return rules


def _objectives(mark: Mark | None, reader: TreeReader, problems: Problems) -> tuple[Objective, ...]:
    if mark is None:
        return ()
    if not isinstance(mark.value, list) or not mark.value:
        problems.add(mark, describe(mark.plain(), "a list such as [{maximise: proxy}, {minimise: macs}]"))
        return ()
    found: list[Objective] = []
    for item in mark.value:
        entries = reader.mapping(item, ("maximise", "minimise"))
        if len(entries) != 1:
            problems.add(item, describe(item.plain(), "one of {maximise: METRIC} and {minimise: METRIC}"))
            continue
        (direction, metric), *_ = entries.items()
        if not isinstance(metric.value, str) or metric.value not in METRICS:
            problems.add(metric, describe(metric.plain(), f"one of {', '.join(METRICS)}", known=METRICS))
            continue
        if any(o.metric == METRICS[metric.value] for o in found):
            problems.add(metric, f"{metric.value!r} stands twice")
        found.append(Objective(METRICS[metric.value], direction == "maximise"))
    return tuple(found)


def _constraints(mark: Mark | None, reader: TreeReader, problems: Problems) -> tuple[Constraint, ...]:
    if mark is None:
        return ()
    found = []
    for metric, bounds in reader.mapping(mark, METRICS).items():
        entries = reader.mapping(bounds, ("max", "min", "of"))
        numbers = {}
        for end in ("min", "max"):
            if end in entries:
                numbers[end], expected = _bound(metric, entries[end].value, relative="of" in entries)
                if numbers[end] is None:
                    problems.add(entries[end], describe(entries[end].plain(), expected))
        of = _text(entries.get("of"), problems)
        if isinstance(bounds.value, dict) and not numbers:
            problems.add(bounds, "expected `max`, `min` or both")
        if None in numbers.values():
            continue
        if numbers.get("min", 0.0) > numbers.get("max", math.inf):
            problems.add(bounds, f"min {numbers['min']:g} is above max {numbers['max']:g}")
        found.append(Constraint(METRICS[metric], numbers.get("min", -math.inf), numbers.get("max", math.inf), of))
    return tuple(found)


def _bound(metric: str, value: Any, *, relative: bool) -> tuple[float | None, str]:
    """What a bound says, None where it cannot be; and what was expected.

    A size in memory is written with its unit: a bare 64, or 64M, would be a guess at one.
    """
    if metric == "memory" and relative:
        number = quantity(value) if isinstance(value, int | float) else None
        expected = "a multiple of the other design's memory, such as 0.5"
    elif metric == "memory":
        number, expected = mebibytes(value), "a size with its unit, such as 48MiB or 1.5GiB"
    else:
        number, expected = quantity(value), "a number not below 0, such as 12.7M, 2.2G or 10ms"
        number = None if metric != "latency" and isinstance(value, str) and value.rstrip().endswith("ms") else number
    return (None if number is None or number < 0 else number), expected


def _published(mark: Mark | None, reader: TreeReader, problems: Problems) -> dict[str, Any]:
    if mark is None:
        return {}
    result = {}
    for key, item in reader.mapping(mark, PUBLISHED_KEYS).items():
        value = item.plain()
        if key in ("params", "macs", "top1", "resolution"):
            value = quantity(value)
            if value is None:
                problems.add(item, describe(item.plain(), "a number such as 27.9M"))
        elif key == "checked" and value not in tuple(CHECKED):
            problems.add(item, describe(value, f"one of {', '.join(CHECKED)}", known=CHECKED))
        elif key == "distilled" and not isinstance(value, bool):
            problems.add(item, describe(value, "true or false"))
        elif key not in ("checked", "distilled") and not isinstance(value, str):
            problems.add(item, describe(value, "text"))
        result[key] = value.strip() if isinstance(value, str) else value
    return result


def _referred_paths(reader: TreeReader, rules: list[tuple[Mark, Expression]], problems: Problems) -> frozenset[str]:
    """The paths to remember while unfolding; notes references to what does not exist or is decided later."""
    order = {path: i for i, path in enumerate(reader.paths)}
    needed: set[str] = set()
    references = [Reference(mark, path, "", len(order)) for mark, rule in rules for path in rule.paths]
    for reference in [*reader.references, *references]:
        path, at = reference.path, reference.at
        known = _holders(path, reader)
        if not known:
            near = nearest(path, order)
            hint = f"; did you mean {near!r}?" if near else ""
            problems.add(reference.mark, f"the path {path!r} does not exist in this file{hint}")
            continue
        if reference.slot and reader.paths.get(path) != reference.slot:
            problems.add(reference.mark, f"{path!r} is not the path of any {reference.slot} that this file writes out")
            continue
        if any(order[p] >= reference.before or at == p or at.startswith((f"{p}.", f"{p}[")) for p in known):
            text = f"{path!r} is decided later, or not at all; a value may refer only to what is decided before it"
            problems.add(reference.mark, text)
            continue
        needed.update(known)
    return frozenset(needed)


def _holders(path: str, reader: TreeReader) -> list[str]:
    """The written paths off which a path may be read; none where it does not exist.

    They are the path itself, and where it, or a pattern around it, is left at its default: the pattern that leaves it.
    """
    found, above = [path] * (path in reader.paths), path
    while above:
        inner, above = above, above.rpartition(".")[0]
        patterns = reader.patterns.get(above, set())
        if (inner in reader.left_out or not found) and _holds(patterns, path.removeprefix(f"{above}.").split(".")):
            found.append(above)
    return found


def _holds(patterns: Iterable[str], names: list[str]) -> bool:
    """Whether one of the patterns has an option of that name; for several, inside the default of the one before."""
    if len(names) == 1 and names[0] == "pattern":
        return bool(patterns)
    kinds = [kind for pattern in patterns if (kind := option_types_cached(pattern).get(names[0]))]
    if len(names) == 1:
        return bool(kinds)
    return _holds({kind.default.pattern for kind in kinds if isinstance(kind.default, Spec)}, names[1:])


def _places(mark: Mark) -> dict[str, tuple[int, int]]:
    places = {mark.path: (mark.line, mark.column)}
    inner = mark.value.values() if isinstance(mark.value, dict) else mark.value if isinstance(mark.value, list) else ()
    for value in inner:
        places |= _places(value)
    return places
