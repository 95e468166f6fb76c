"""YAML text -> a tree of values that know where they stand in the file.

Built on PyYAML's composed nodes, which keep positions. YAML's own traps are caught here: a repeated key, `1e-3` read
as text, `on` and `yes` read as booleans, `12:30` read as 750, anchors and tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from gas.errors import SpaceError

_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_INT = re.compile(r"[-+]?\d+")
_QUANTITY = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(k|K|M|G|T|ms)?")
_SUFFIX = {None: 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "ms": 1.0}


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
        self._found: list[tuple[int, int, str]] = []

    def add(self, mark: Mark, text: str, *, key: str | None = None, path: str | None = None) -> None:
        """Notes a problem at a mark (or at one of its keys)."""
        line, column = mark.keys.get(key, (mark.line, mark.column)) if key else (mark.line, mark.column)
        if path is None:
            path = (f"{mark.path}.{key}" if mark.path else key) if key else mark.path
        self.at(line, column, f"{path}: {text}" if path else text)

    def at(self, line: int, column: int, text: str) -> None:
        """Notes a problem at a place."""
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
    problems = Problems(file)
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise SpaceError([f"{where}: not valid YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise SpaceError([f"{file}: not valid YAML: {' '.join(str(error).split())}"]) from error
    if node is None:
        raise SpaceError([f"{file}:1:1: the file is empty; expected input, stem, stages and head"])
    if not isinstance(node, yaml.MappingNode):
        raise SpaceError([f"{file}:1:1: expected a mapping with input, stem, stages and head"])
    return _mark(node, "", problems, frozenset()), problems


def _mark(node: yaml.Node, path: str, problems: Problems, above: frozenset[int]) -> Mark:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if id(node) in above:
        problems.at(line, column, f"{path}: an anchor that holds itself")
        return Mark(None, path, line, column)
    above = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        return Mark([_mark(n, f"{path}[{i}]", problems, above) for i, n in enumerate(node.value)], path, line, column)
    if isinstance(node, yaml.ScalarNode):
        return Mark(_scalar(node, path, problems), path, line, column)
    entries: dict[str, Mark] = {}
    keys: dict[str, tuple[int, int]] = {}
    for key_node, value_node in node.value:
        where = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.at(*where, f"{path}: a key must be a name")
            continue
        key = key_node.value
        inner = f"{path}.{key}" if path else key
        if key in entries:
            problems.at(*where, f"{inner}: the key stands twice; it was first given on line {keys[key][0]}")
            continue
        keys[key] = where
        entries[key] = _mark(value_node, inner, problems, above)
    return Mark(entries, path, line, column, keys)


def _scalar(node: yaml.ScalarNode, path: str, problems: Problems) -> Any:
    """YAML 1.2's core reading of a plain scalar: only true/false are booleans, only decimal numbers are numbers."""
    text, tag = node.value, node.tag
    where = node.start_mark.line + 1, node.start_mark.column + 1
    if not tag.startswith("tag:yaml.org,2002:"):
        problems.at(*where, f"{path}: the tag {tag!r} is not allowed")
        return text
    if node.style in ("'", '"', "|", ">"):
        return text
    if tag.endswith(":bool") and text not in ("true", "false", "True", "False"):
        problems.at(*where, f"{path}: YAML reads {text!r} as a truth value; write true or false, or quote the text")
        return text
    if tag.endswith(":int") and not _INT.fullmatch(text):
        problems.at(
            *where, f"{path}: YAML reads {text!r} as an unusual number; write it in decimal digits, or quote it"
        )
        return 0
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def quantity(value: Any) -> float | None:
    """A number, or text such as `12.7M`, `2.2G`, `10ms`; None where it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    # Rounding undoes the binary dust of 12.7 * 1e6: these are decimal figures.
    return round(float(match[1]) * _SUFFIX[match[2]], 6) if match else None
