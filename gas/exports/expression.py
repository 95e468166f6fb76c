"""Writes a Part tree as the Python expression that builds it, laid out as a formatter would.

Arguments that equal the class's default are left out, runs of equal items are written as a comprehension.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from gas.patterns.base import Part

WIDTH = 120
STEP = 4


@dataclass(frozen=True)
class Verbatim:
    """A piece of Python to stand where a value would: the name of a variable."""

    text: str


@dataclass(frozen=True)
class Node:
    """An expression: what opens it, its items (`key=` or `*` before each), what closes it. Without items, an atom."""

    opening: str
    items: tuple[tuple[str, Node], ...] = ()
    closing: str = ""
    loop: str = ""  # for a comprehension: what stands behind its one item

    @cached_property
    def flat(self) -> str:
        """On one line."""
        inner = ", ".join(key + item.flat for key, item in self.items)
        return f"{self.opening}{inner}{' ' + self.loop if self.loop else ''}{self.closing}"

    def text(self, indent: int, taken: int = 0) -> str:
        """Within WIDTH, where the first line starts after `indent` blanks and `taken` characters of text.

        One more character is kept free for the comma behind.
        """
        if indent + taken + len(self.flat) + 1 <= WIDTH or not self.items:
            return self.flat
        inner, blank = indent + STEP, " " * (indent + STEP)
        comma = "" if self.loop else ","
        lines = [f"{blank}{key}{item.text(inner, len(key))}{comma}" for key, item in self.items]
        lines += [blank + self.loop] if self.loop else []
        return "\n".join([self.opening, *lines, " " * indent + self.closing])


def node(value: Any) -> Node:
    """The expression for a Part, a list or tuple or dict of them, or plain data."""
    match value:
        case Verbatim(text):
            return Node(text)
        case Part():
            return Node(f"{class_name(value.cls)}(", tuple(_arguments(value)), ")")
        case list():
            return Node("[", tuple(_folded(value)), "]")
        case tuple() if value:
            return Node("(", tuple(("", node(v)) for v in value), ",)" if len(value) == 1 else ")")
        case dict():
            return Node("{", tuple((f"{_literal(k)}: ", node(v)) for k, v in value.items()), "}")
        case _:
            return Node(_literal(value))


def class_name(cls: type) -> str:
    """How the exported file calls a class: torch's layers as `nn.X`, all others by their own name."""
    return f"nn.{cls.__name__}" if cls.__module__.startswith("torch.nn.") else cls.__name__


def classes(value: Any) -> list[type]:
    """Every class in a Part tree, each once, innermost first."""
    match value:
        case Part():
            inner = [*classes(list(value.args.values())), value.cls]
        case list() | tuple():
            inner = [cls for v in value for cls in classes(v)]
        case dict():
            inner = classes(list(value.values()))
        case _:
            inner = []
    return list(dict.fromkeys(inner))


def _arguments(part: Part) -> list[tuple[str, Node]]:
    defaults = {p.name: p.default for p in inspect.signature(part.cls).parameters.values()}
    result = _folded(part.args.get("", []))
    for key, value in part.args.items():
        default = defaults.get(key, inspect.Parameter.empty)
        if key and not (type(value) is type(default) and value == default):
            result.append((f"{key}=", node(value)))
    return result


def _folded(values: list) -> list[tuple[str, Node]]:
    """Items of a list, runs of equal modules folded: each must be made anew, so a loop and not a product."""
    result = []
    for _, run in groupby(values, key=lambda v: (isinstance(v, Part), node(v).flat)):
        items = list(run)
        if len(items) > 1 and isinstance(items[0], Part):
            result.append(("*", Node("[", (("", node(items[0])),), "]", f"for _ in range({len(items)})")))
        else:
            result += [("", node(v)) for v in items]
    return result


def _literal(value: Any) -> str:
    """Plain data as Python writes it, text in double quotes."""
    if isinstance(value, str) and '"' not in repr(value):
        return f'"{repr(value)[1:-1]}"'
    return repr(value)
