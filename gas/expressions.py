"""Expressions that a file or a command may hold: read by Python's own parser, of which little is let through.

What may be written is a `Language`; nothing outside it can be, so an expression cannot run code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_LENGTH = 500  # so nothing nests deeper than Python can follow

COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_SIGNS = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class ExpressionError(ValueError):
    """An expression that cannot be read or worked out; its text says why."""


@dataclass(frozen=True)
class Logic:
    """What comparisons and what joins them come to.

    Args:
        compares: Comparison of two values by its operator.
        every: What `and` makes of the values of its parts, and a chain of comparisons of its links.
        some: What `or` does.
        negate: What `not` does.
    """

    compares: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = field(default_factory=lambda: COMPARE)
    every: Callable[[Iterable[Any]], Any] = all
    some: Callable[[Iterable[Any]], Any] = any
    negate: Callable[[Any], Any] = operator.not_


@dataclass(frozen=True)
class Language:
    """What may be written, beside numbers, names, brackets and signs.

    Args:
        words: What that is, for messages.
        binary: Operators between two values.
        functions: Functions by name.
        decides: Whether comparisons, `and`, `or`, `not`, text and lists may be written too.
        number: What a number that stands in the text becomes.
        logic: What decisions come to, where it `decides`.
    """

    words: str
    binary: Mapping[type[ast.operator], Callable[[Any, Any], Any]]
    functions: Mapping[str, Callable[..., Any]]
    decides: bool = False
    number: Callable[[Any], Any] = lambda value: value
    logic: Logic = Logic()


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Args:
        text: As written.
        paths: Names that it reads, in order of appearance.
        decides: True where it is a comparison, so that its value is true or false.
    """

    text: str
    paths: tuple[str, ...]
    decides: bool
    _work_out: Callable[[Mapping[str, Any]], Any] = field(compare=False, repr=False)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value, given a value per name; ExpressionError where it cannot be worked out (a division by 0)."""
        try:
            return self._work_out(values)
        except (ArithmeticError, TypeError, ValueError, MemoryError) as error:
            raise ExpressionError(f"{self.text}: {error}") from error


def parse(text: str, language: Language, source: str | None = None) -> Expression:
    """Reads an expression; ExpressionError where it is not one of the language.

    Args:
        text: As written.
        language: What may be written.
        source: What Python shall read, where that is not the text itself.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"got an expression of {len(text)} characters; expected at most {MAX_LENGTH}")
    reader = _Reader(language)
    try:
        tree = ast.parse(text if source is None else source, mode="eval")
        work_out = reader.compile(tree.body)
    except ExpressionError:
        raise
    except (SyntaxError, ValueError, MemoryError) as error:  # MemoryError: CPython's word for too many parentheses
        raise ExpressionError(f"{text!r} is not an expression: {getattr(error, 'msg', error)}") from error
    decides = isinstance(tree.body, ast.Compare | ast.BoolOp) or isinstance(getattr(tree.body, "op", None), ast.Not)
    return Expression(text, tuple(reader.paths), decides, work_out)


class _Reader:
    """Turns syntax trees into functions of the values, and notes the names on its way."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.paths: dict[str, None] = {}

    def compile(self, node: ast.AST) -> Callable[[Mapping[str, Any]], Any]:
        language = self.language
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | bool):
            if not isinstance(node.value, str | bool):
                number = language.number(node.value)
                return lambda values: number
            if language.decides:
                return lambda values: node.value
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            path = _path(node)
            self.paths[path] = None
            return lambda values: values[path]
        if isinstance(node, ast.BinOp) and type(node.op) in language.binary:
            apply, left, right = language.binary[type(node.op)], self.compile(node.left), self.compile(node.right)
            return lambda values: apply(left(values), right(values))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
            apply, inner = _SIGNS[type(node.op)], self.compile(node.operand)
            return lambda values: apply(inner(values))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        if language.decides and (decision := self._decision(node)) is not None:
            return decision
        raise ExpressionError(f"{ast.unparse(node)!r} is not allowed here; expected {language.words}")

    def _call(self, name: str, arguments: list[ast.expr]) -> Callable[[Mapping[str, Any]], Any]:
        known = self.language.functions
        if name not in known:
            raise ExpressionError(f"got the function {name!r}; expected one of {', '.join(sorted(known))}")
        apply, parts = known[name], [self.compile(part) for part in arguments]
        return lambda values: apply(*(part(values) for part in parts))

    def _decision(self, node: ast.AST) -> Callable[[Mapping[str, Any]], Any] | None:
        """Comparisons, what joins them, and lists; None for anything else."""
        logic = self.language.logic
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.compile(node.operand)
            return lambda values: logic.negate(inner(values))
        if isinstance(node, ast.BoolOp):
            parts, join = [self.compile(v) for v in node.values], logic.some
            if isinstance(node.op, ast.And):
                join = logic.every
            return lambda values: join(part(values) for part in parts)
        if isinstance(node, ast.List | ast.Tuple):
            parts = [self.compile(v) for v in node.elts]
            return lambda values: [part(values) for part in parts]
        return self._comparison(node) if isinstance(node, ast.Compare) else None

    def _comparison(self, node: ast.Compare) -> Callable[[Mapping[str, Any]], Any]:
        logic = self.language.logic
        operators = [logic.compares.get(type(op)) for op in node.ops]
        if None in operators:
            raise ExpressionError(f"{ast.unparse(node)!r}: this comparison is not allowed")
        parts = [self.compile(v) for v in (node.left, *node.comparators)]

        def work_out(values: Mapping[str, Any]) -> Any:
            got = [part(values) for part in parts]
            return logic.every(compare(a, b) for compare, a, b in zip(operators, got[:-1], got[1:], strict=True))

        return work_out


def _path(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_path(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
        return f"{_path(node.value)}[{node.slice.value}]"
    raise ExpressionError(f"{ast.unparse(node)!r} is not a path; expected one like stages[1].dim")
