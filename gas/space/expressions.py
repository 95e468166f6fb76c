"""Expressions over the values of a design: what `derive` and `rules` are written in.

Python's own arithmetic, comparisons and `and`/`or`/`not`/`in`, with `min`, `max`, `sum`, `abs`; names are paths
(`stages[1].dim`; `stages.1.dim` means the same). Nothing else can be written, so a file cannot run code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from gas.expressions import MAX_LENGTH, Expression, ExpressionError, Language, parse

__all__ = ["MAX_LENGTH", "Expression", "ExpressionError", "normal_path", "parse_expression"]


def _of_numbers(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that text and lists have no part in: a short rule could make a text of gigabytes of them."""

    def work_out(left: Any, right: Any) -> Any:
        for value in (left, right):
            if isinstance(value, str | list | tuple):
                raise TypeError(f"got {value!r}; expected a number")
        return apply(left, right)

    return work_out


RULES = Language(
    words="paths, numbers, text and arithmetic",
    binary={
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: _of_numbers(operator.mul),
        ast.Div: operator.truediv,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: _of_numbers(operator.mod),
    },
    functions={"min": min, "max": max, "sum": sum, "abs": abs},
    decides=True,
)
_INDEX = re.compile(r"(?<=[A-Za-z_\]])\.(\d+)(?=[.\[\s)\],]|$)")


def normal_path(path: str) -> str:
    """`stages.1.dim` -> `stages[1].dim`."""
    return _INDEX.sub(r"[\1]", path.strip())


def parse_expression(text: str) -> Expression:
    """Reads an expression; ExpressionError where it is not one."""
    return parse(text, RULES, normal_path(text))
