"""YAML text -> a tree of values that know where they stand in the file.

Built on PyYAML's composed nodes, which keep positions. YAML's own traps are caught here: a repeated key, `1e-3` read
as text, `on` and `yes` read as booleans, `12:30` read as 750, anchors and tags.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from gas.errors import SpaceError

_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_INT = re.compile(r"[-+]?\d+")
_QUANTITY = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(k|K|M|G|T|ms)?")
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*(KiB|MiB|GiB)")
_SUFFIX = {None: 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "ms": 1.0}
MAX_VALUES = 100_000  # in one file; a few lines of nested aliases can stand for billions
MAX_DEPTH = 100  # of values in values; all that reads them is recursive
MAX_DIGITS = 40
MAX_LINE = 600  # of a message


@dataclass(frozen=True)
class Mark:
    """A value of a file and its place.

    Args:
        value: Scalar, or dict from key to Mark, or list of Marks.
        path: `stages[2].blocks[0].mixer`; empty for the whole file.
        line: Line, from 1.
        column: Column, from 1.
        keys: For a dict: where each key stands, (line, column).
    """

    value: Any
    path: str
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value without its marks."""
        if isinstance(self.value, dict):
            return {k: v.plain() for k, v in self.value.items()}
        if isinstance(self.value, list):
            return [v.plain() for v in self.value]
        return self.value


class Problems:
    """Collects what is wrong in one file, so that all of it is said at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.unreadable: set[tuple[int, int]] = set()  # where a scalar has already been refused
        self._found: list[tuple[int, int, str]] = []

    def add(self, mark: Mark, text: str, *, key: str | None = None, path: str | None = None) -> None:
        """Notes a problem at a mark (or at one of its keys), unless it only follows from an unreadable scalar."""
        parts = mark.value if isinstance(mark.value, list) else () if isinstance(mark.value, dict) else (mark,)
        if any((part.line, part.column) in self.unreadable for part in parts):
            return
        line, column = mark.keys.get(key, (mark.line, mark.column)) if key else (mark.line, mark.column)
        if path is None:
            path = (f"{mark.path}.{key}" if mark.path else key) if key else mark.path
        self.at(line, column, f"{path}: {text}" if path else text)

    def at(self, line: int, column: int, text: str) -> None:
        """Notes a problem at a place, as one line that can be printed."""
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        if len(text) > MAX_LINE:  # what was expected stands at the end
            text = f"{text[: MAX_LINE // 2]} ... {text[-MAX_LINE // 2 :]}"
        if (line, column, text) not in self._found:
            self._found.append((line, column, text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def check(self) -> None:
        """Raises SpaceError with every problem, in the order of the file; does nothing where there is none."""
        if self._found:
            raise SpaceError([f"{self.file}:{line}:{column}: {text}" for line, column, text in sorted(self._found)])


def parse(text: str, file: str) -> tuple[Mark, Problems]:
    """The marked tree of a YAML text; SpaceError where it is no YAML, empty, or not a mapping."""
    try:
        # Not libyaml's loader: it takes the whole process down on deep nesting, and files are small.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        problem = error.problem or error.context or ""
        if problem.endswith("got '['"):
            problem += "; between braces, quote a path that holds brackets, or write stages.0.dim"
        raise SpaceError([f"{where}: not valid YAML: {problem}"]) from error
    except RecursionError as error:
        raise SpaceError([f"{file}: values are nested too deeply"]) from error
    except yaml.YAMLError as error:
        raise SpaceError([f"{file}: not valid YAML: {' '.join(str(error).split())}"]) from error
    if node is None:
        raise SpaceError([f"{file}:1:1: the file is empty; expected input, stem, stages and head"])
    if not isinstance(node, yaml.MappingNode):
        raise SpaceError([f"{file}:1:1: expected a mapping with input, stem, stages and head"])
    reader = _Reader(Problems(file))
    return reader.mark(node, "", frozenset()), reader.problems


class _Reader:
    """Composed nodes -> Marks; notes what YAML would have read otherwise than it looks."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._values = 0
        self._resolver = yaml.resolver.Resolver()

    def mark(self, node: yaml.Node, path: str, above: frozenset[int]) -> Mark:
        """The marked tree under a node; `above` holds the nodes that it stands in."""
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self._values += 1
        if self._values > MAX_VALUES:
            raise SpaceError([f"{self.problems.file}:{line}:{column}: more than {MAX_VALUES:,} values in one file"])
        if len(above) > MAX_DEPTH:
            raise SpaceError([f"{self.problems.file}:{line}:{column}: values are nested too deeply"])
        if id(node) in above:
            self.problems.at(line, column, f"{path}: an anchor that holds itself")
            return Mark(None, path, line, column)
        above = above | {id(node)}
        if not isinstance(node, yaml.ScalarNode):
            self._check_tag(node, path, self._resolver.resolve(type(node), None, True))
        if isinstance(node, yaml.SequenceNode):
            return Mark([self.mark(n, f"{path}[{i}]", above) for i, n in enumerate(node.value)], path, line, column)
        if isinstance(node, yaml.ScalarNode):
            return Mark(self._scalar(node, path), path, line, column)
        entries: dict[str, Mark] = {}
        keys: dict[str, tuple[int, int]] = {}
        for key_node, value_node in node.value:
            where = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.at(*where, f"{path}: a key must be a name")
                continue
            key = key_node.value
            inner = f"{path}.{key}" if path else key
            if key in entries:
                text = f"{inner}: the key stands twice; it was first given on line {keys[key][0]}"
                self.problems.at(*where, text)
                continue
            keys[key] = where
            entries[key] = self.mark(value_node, inner, above)
        return Mark(entries, path, line, column, keys)

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        """YAML 1.2's core reading of a plain scalar: only true/false are booleans, only decimal numbers are numbers."""
        text, kind = node.value, node.tag.rpartition(":")[2]
        plain = node.style is None
        if not self._check_tag(node, path, self._resolver.resolve(yaml.ScalarNode, text, (plain, not plain))):
            return text
        if not plain:
            return text
        if kind == "bool" and text not in ("true", "false", "True", "False"):
            self._note(node, path, f"YAML reads {text!r} as a truth value; write true or false, or quote the text")
            return text
        if kind in ("int", "float") and not _FLOAT.fullmatch(text):
            self._note(node, path, f"YAML reads {text!r} as an unusual number; write it in decimal digits, or quote it")
            return 0
        if text in ("true", "True", "false", "False"):
            return text in ("true", "True")
        if text in ("", "~", "null", "Null", "NULL"):
            return None
        if not _FLOAT.fullmatch(text):
            return text
        if len(text) > MAX_DIGITS or math.isinf(float(text)):
            self._note(node, path, f"got {text}; expected a number of at most {MAX_DIGITS} digits and below 1e308")
            return 0
        return int(text) if _INT.fullmatch(text) else float(text)

    def _check_tag(self, node: yaml.Node, path: str, usual: str) -> bool:
        if node.tag != usual:
            self._note(node, path, f"the tag {node.tag!r} is not allowed")
        return node.tag == usual

    def _note(self, node: yaml.Node, path: str, text: str) -> None:
        where = node.start_mark.line + 1, node.start_mark.column + 1
        self.problems.at(*where, f"{path}: {text}" if path else text)
        if isinstance(node, yaml.ScalarNode):
            self.problems.unreadable.add(where)


def quantity(value: Any) -> float | None:
    """A number, or text such as `12.7M`, `2.2G`, `10ms`; None where it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= MAX_DIGITS else None
    # Rounding undoes the binary dust of 12.7 * 1e6: these are decimal figures.
    return round(float(match[1]) * _SUFFIX[match[2]], 6) if match else None


def mebibytes(value: Any) -> float | None:
    """Text such as `48MiB` or `1.5GiB` in MiB; None where it is no size with its unit."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= MAX_DIGITS else None
    return float(match[1]) * {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}[match[2]] if match else None
