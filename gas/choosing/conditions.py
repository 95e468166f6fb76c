"""Conditions on designs: `latency_ms < 10 and params < 12M and stages[0].dim in (48, 64)`.

Comparisons, `and`, `or`, `not`, `in`, arithmetic, over the columns of a frame; text stands in quotes; k, M, G, ms, MiB
and GiB behind a number mean what they say. Nothing else can be written, so a condition cannot run code.

What is not known (a latency that was not measured, a decision inside a branch that was not chosen) makes a comparison
neither true nor false, as NULL does in SQL and <NA> in pandas; a design is kept where the whole is true.
"""

from __future__ import annotations

import ast
import bisect
import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gas.choosing.columns import Columns, values_of
from gas.errors import RunError, SettingError
from gas.expressions import COMPARE, Expression, ExpressionError, Language, Logic, parse
from gas.space.expressions import normal_path

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = "latency_ms < 10 and params < 12M"
UNITS = {"k": "e3", "M": "e6", "G": "e9", "ms": "", "MiB": "", "GiB": " * 1024"}
MEASURES = {"ms": ("_ms", "a latency"), "MiB": ("_mib", "a memory"), "GiB": ("_mib", "a memory")}
KEYWORDS = ("and", "or", "not", "in", "is", "if", "else", "for", "lambda", "True", "False", "None")

_PIECES = re.compile(
    r"""(?P<text>'[^']*'|"[^"]*")"""
    r"""|`(?P<quoted>[^`]*)`"""
    r"""|(?P<number>(?<![\w.])(?:\d+\.?\d*|\.\d+))(?:(?P<unit>[A-DF-Za-df-z]\w*)|(?P<rest>[eE][+-]?\d+)?)"""
    # A branch in brackets belongs to a path where more of the path follows: mixer(global_attention).head_dim.
    r"""|(?P<name>[A-Za-z_]\w*(?:\[\d+\]|\.\w+|\(\w+\)(?=\.\w))*)(?P<call>\s*\()?"""
)
_HELD = re.compile(r"_c(\d+)_")


def _known(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Of something not known nothing is known."""

    def work_out(*values: Any) -> Any:
        if any(value is None for value in values):
            return None
        for value in values:
            if isinstance(value, str):
                raise TypeError(f"got the text {value!r}; expected a number")
        return apply(*values)

    return work_out


def _compared(name: type[ast.cmpop], apply: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def work_out(left: Any, right: Any) -> bool | None:
        if name in (ast.In, ast.NotIn):
            if not isinstance(right, list):
                raise TypeError(f"got {right!r} behind `in`; expected a list such as (48, 64)")
            found = _some(_same(left, value) for value in right)
            return found if name is ast.In or found is None else not found
        if left is None or right is None:
            return None
        if name in (ast.Eq, ast.NotEq):
            return _same(left, right) == (name is ast.Eq)
        if isinstance(left, str) != isinstance(right, str):
            raise TypeError(f"got {left!r} beside {right!r}; expected numbers, or texts")
        return apply(left, right)

    return work_out


def _same(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    if isinstance(left, str) != isinstance(right, str):
        raise TypeError(f"got {left!r} beside {right!r}; expected numbers, or texts")
    return left == right


def _truth(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise TypeError(f"got {value!r}; expected a comparison")


def _every(values: Iterable[Any]) -> bool | None:
    told = [_truth(value) for value in values]
    return False if False in told else None if None in told else True


def _some(values: Iterable[Any]) -> bool | None:
    told = [_truth(value) for value in values]
    return True if True in told else None if None in told else False


def _negate(value: Any) -> bool | None:
    return None if _truth(value) is None else not value


LANGUAGE = Language(
    words="columns, numbers, text in quotes, comparisons and arithmetic",
    binary={
        ast.Add: _known(operator.add),
        ast.Sub: _known(operator.sub),
        ast.Mult: _known(operator.mul),
        ast.Div: _known(operator.truediv),
        ast.Pow: _known(lambda base, power: math.pow(base, power)),
    },
    functions={
        name: _known(apply) for name, apply in (("abs", abs), ("log10", math.log10), ("max", max), ("min", min))
    },
    decides=True,
    logic=Logic({kind: _compared(kind, apply) for kind, apply in COMPARE.items()}, _every, _some, _negate),
)
"""What a condition may be written in. Logic: Kleene's, of three values."""


@dataclass(frozen=True)
class _Source:
    """A text as Python reads it: each name a word without dots, each unit a power of ten.

    Args:
        text: As Python reads it.
        names: The names in order, as written.
        places: (place there, place in the text as written) of each piece, in order.
        units: (place as written, unit).
    """

    text: str
    names: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    units: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, written: str) -> _Source:
        out, names, places, units, at = "", [], [(0, 0)], [], 0
        for found in _PIECES.finditer(written):
            out += written[at : found.start()]
            places.append((len(out), found.start()))
            out += _replaced(found, names)
            if found["unit"]:
                units.append((found.start(), found["unit"]))
            at = found.end()
            places.append((len(out), at))
        return cls(out + written[at:], tuple(names), tuple(places), tuple(units))

    def place(self, there: int) -> int:
        """Where in the text as written a place is."""
        index = bisect.bisect_right([place for place, _ in self.places], there) - 1
        place, written = self.places[index]
        after = self.places[index + 1][1] if index + 1 < len(self.places) else math.inf
        return int(min(written + there - place, after))

    def told(self, message: str) -> str:
        """A message on the text as Python read it, in the words that were written."""
        return _HELD.sub(lambda held: self.names[int(held[1])], message)


def _replaced(found: re.Match[str], names: list[str]) -> str:
    if found["text"]:
        return found[0]
    if found["number"]:
        unit = found["unit"]
        if unit is None:
            return found[0]
        if unit not in UNITS:
            raise SettingError(f"where: got {found[0]!r}; expected a number with one of {', '.join(UNITS)}, or none")
        value = f"{found['number']}{UNITS[unit]}"
        return f"({value})" if "*" in value else value
    name = found["quoted"] if found["name"] is None else found["name"]
    if found["quoted"] is None and (name in KEYWORDS or found["call"]):
        return found[0]
    names.append(normal_path(name))
    return f"_c{len(names) - 1}_"


class Condition:
    """A condition on designs, read for the columns of a frame.

    Args:
        text: As written.
        columns: What it may name.

    Raises:
        SettingError: It cannot be read (says where), or names what is no column (says the nearest).
    """

    def __init__(self, text: str, columns: Columns) -> None:
        self.text = " ".join(text.split())
        if not self.text:
            raise SettingError(f"where: got an empty text; expected a condition such as {EXAMPLE}")
        self._source = _Source.of(self.text)
        self._read = self._parsed(self._source.text)
        self.columns = {name: columns.resolve(name, "where") for name in self._source.names}
        self._check_units()

    def kept(self, frame: pd.DataFrame, of: str = "designs") -> pd.DataFrame:
        """The rows for which the condition is true.

        Args:
            frame: The designs.
            of: What they are called in an error.

        Raises:
            RunError: None is left; says how many each part leaves by itself.
            SettingError: It compares what cannot be compared.
        """
        told = self._worked_out(self._read, frame)
        rows = frame[[value is True for value in told]]
        rows.attrs = frame.attrs
        if len(frame) and rows.empty:
            parts = self._parts()
            alone = [self._alone(part, read, frame) for part, read in parts] if len(parts) > 1 else []
            unknown = sum(value is None for value in told)
            text = f"which leaves none of {len(frame)} {of}" + f" ({unknown} not known)" * bool(unknown)
            raise RunError("; ".join([f"where: got {self.text!r}, {text}", *alone]))
        return rows

    def notes(self, frame: pd.DataFrame) -> list[str]:
        """What should be said beside the rows: which column a name stood for, and how many designs are unknown."""
        told = [f"{name} means {column}" for name, column in self.columns.items() if name != column]
        unknown = sum(value is None for value in self._worked_out(self._read, frame))
        if unknown:
            missing = [c for c in dict.fromkeys(self.columns.values()) if c in frame and frame[c].isna().any()]
            told.append(f"{unknown} of {len(frame)} designs left out: not known of them is {' or '.join(missing)}")
        return told

    def _worked_out(self, read: Expression, frame: pd.DataFrame) -> list[bool | None]:
        held = [values_of(frame, self.columns[name]) for name in self._source.names]
        told = []
        for row in range(len(frame)):
            try:
                value = read({f"_c{index}_": values[row] for index, values in enumerate(held)})
                told.append(_truth(value))
            except ExpressionError as error:
                why = self._source.told(str(error.__cause__))
                raise SettingError(f"where: got {self.text!r}: {why}") from error
            except TypeError as error:
                raise SettingError(f"where: got {self.text!r}, which is {value!r}; expected a comparison") from error
        return told

    def _parts(self) -> list[tuple[str, Expression]]:
        """The parts that `and` joins, as written, each read by itself."""
        tree = ast.parse(self._source.text, mode="eval").body
        parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        found = []
        for part in parts:
            begin, end = self._source.place(part.col_offset), self._source.place(part.end_col_offset)
            found.append((self.text[begin:end], self._parsed(ast.unparse(part))))
        return found

    def _alone(self, part: str, read: Expression, frame: pd.DataFrame) -> str:
        told = self._worked_out(read, frame)
        unknown = sum(value is None for value in told)
        return f"{part!r} leaves {sum(value is True for value in told)}" + f" ({unknown} not known)" * bool(unknown)

    def _parsed(self, source: str) -> Expression:
        try:
            return parse(source, LANGUAGE)
        except ExpressionError as error:
            cause = error.__cause__
            if isinstance(cause, SyntaxError):  # which has no place where something lacks at the end
                at = self._source.place(min(cause.offset - 1, len(source)) if cause.offset else len(source))
                rest = self.text[at:]
                place = f"at character {at + 1}, {rest!r}" if rest else "at its end"
                expected = f"expected a condition such as {EXAMPLE}"
                raise SettingError(f"where: got {self.text!r}, which cannot be read {place}; {expected}") from error
            raise SettingError(f"where: got {self.text!r}: {self._source.told(str(error))}") from error

    def _check_units(self) -> None:
        """10ms beside params would be read as 10 parameters."""
        if not self._source.units:
            return
        for part, _ in self._parts():
            for _, unit in _Source.of(part).units:
                ending, what = MEASURES.get(unit, ("", ""))
                names = [self.columns[name] for name in _Source.of(part).names]
                if ending and not any(ending in name for name in names):
                    raise SettingError(f"where: got {part!r}; expected {what} beside a number with {unit}")
