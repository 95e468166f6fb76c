"""Expressions over the values of a design: what `derive` and `rules` are written in.

Python's own arithmetic, comparisons and `and`/`or`/`not`/`in`, with `min`, `max`, `sum`, `abs`; names are paths
(`stages[1].dim`; `stages.1.dim` means the same). Nothing else can be written, so a file cannot run code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
MAX_LENGTH = 500  # so nothing nests deeper than Python can follow
_FUNCTIONS = {"min": min, "max": max, "sum": sum, "abs": abs}
_INDEX = re.compile(r"(?<=[A-Za-z_\]])\.(\d+)(?=[.\[\s)\],]|$)")


class ExpressionError(ValueError):
    """An expression that cannot be read or worked out; its text says why."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Args:
        text: As written.
        paths: Paths that it reads, in order of appearance.
        decides: True where it is a comparison, so that its value is true or false.
    """

    text: str
    paths: tuple[str, ...]
    decides: bool
    _work_out: Callable[[Mapping[str, Any]], Any] = field(compare=False, repr=False)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value, given a value per path; ExpressionError where it cannot be worked out (a division by 0)."""
        try:
            return self._work_out(values)
        except (ArithmeticError, TypeError, ValueError, MemoryError) as error:
            raise ExpressionError(f"{self.text}: {error}") from error


def normal_path(path: str) -> str:
    """`stages.1.dim` -> `stages[1].dim`."""
    return _INDEX.sub(r"[\1]", path.strip())


def parse_expression(text: str) -> Expression:
    """Reads an expression; ExpressionError where it is not one."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"got an expression of {len(text)} characters; expected at most {MAX_LENGTH}")
    paths: dict[str, None] = {}
    try:
        tree = ast.parse(normal_path(text), mode="eval")
        work_out = _compile(tree.body, paths)
    except ExpressionError:
        raise
    except (SyntaxError, ValueError, MemoryError) as error:  # MemoryError: CPython's word for too many parentheses
        raise ExpressionError(f"{text!r} is not an expression: {getattr(error, 'msg', error)}") from error
    decides = isinstance(tree.body, ast.Compare | ast.BoolOp) or isinstance(getattr(tree.body, "op", None), ast.Not)
    return Expression(text, tuple(paths), decides, work_out)


def _compile(node: ast.AST, paths: dict[str, None]) -> Callable[[Mapping[str, Any]], Any]:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | bool):
        return lambda values, value=node.value: value
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        path = _path(node)
        paths[path] = None
        return lambda values: values[path]
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        apply, left, right = _BINARY[type(node.op)], _compile(node.left, paths), _compile(node.right, paths)
        return lambda values: apply(left(values), right(values))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        apply, inner = _UNARY[type(node.op)], _compile(node.operand, paths)
        return lambda values: apply(inner(values))
    if isinstance(node, ast.BoolOp):
        parts, every = [_compile(v, paths) for v in node.values], all if isinstance(node.op, ast.And) else any
        return lambda values: every(part(values) for part in parts)
    if isinstance(node, ast.Compare):
        return _compile_comparison(node, paths)
    if isinstance(node, ast.List | ast.Tuple):
        parts = [_compile(v, paths) for v in node.elts]
        return lambda values: [part(values) for part in parts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in _FUNCTIONS:
            raise ExpressionError(f"got the function {node.func.id!r}; expected one of {', '.join(sorted(_FUNCTIONS))}")
        apply, parts = _FUNCTIONS[node.func.id], [_compile(v, paths) for v in node.args]
        return lambda values: apply(*(part(values) for part in parts))
    raise ExpressionError(f"{ast.unparse(node)!r} is not allowed here; expected paths, numbers, text and arithmetic")


def _compile_comparison(node: ast.Compare, paths: dict[str, None]) -> Callable[[Mapping[str, Any]], bool]:
    operators = [_COMPARE.get(type(op)) for op in node.ops]
    if None in operators:
        raise ExpressionError(f"{ast.unparse(node)!r}: this comparison is not allowed")
    parts = [_compile(v, paths) for v in (node.left, *node.comparators)]

    def work_out(values: Mapping[str, Any]) -> bool:
        got = [part(values) for part in parts]
        return all(compare(a, b) for compare, a, b in zip(operators, got[:-1], got[1:], strict=True))

    return work_out


def _path(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_path(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
        return f"{_path(node.value)}[{node.slice.value}]"
    raise ExpressionError(f"{ast.unparse(node)!r} is not a path; expected one like stages[1].dim")
