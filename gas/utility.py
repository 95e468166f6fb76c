"""A performance function U: one number that a search is to make large, worked out from a design's metrics.

U is an expression over metrics: arithmetic with `**`, and `abs`, `exp`, `log`, `log10`, `max`, `min`, `sqrt`. One is
known by name.

netscore, or netscore(METRIC): 20 log10(a^2 / (p^0.5 m^0.5)), with the accuracy a in percent, the params p in millions
and the macs m in billions. METRIC is a share of images put right, 0 to 1; without one it is the proxy's `accuracy`.
Source: NetScore, arXiv 1806.05512, with its alpha = 2 and beta = gamma = 0.5.

NetScore alone collapses towards tiny nets: half the params or half the macs is worth 3.01, a point of accuracy at 80%
but 0.22. By published top-1 and our own counts it puts efficientvit_m0 (63.2%, 79 M macs) at 79.3, turbovit (82.1%)
at 61.3, hiera_tiny (82.8%) at 55.4 and hiera_base (84.5%) at 50.2. So a least accuracy belongs to it, as a constraint.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gas.errors import SettingError, describe, nearest
from gas.expressions import Expression, ExpressionError, Language, parse

ACCURACY = "accuracy"
"""The word for the metric that is a share of images put right, 0 to 1."""

NAMED = {"netscore": "(20 * log10((100 * {}) ** 2 / ((params / 1e6) ** 0.5 * (macs / 1e9) ** 0.5)))"}
"""Expression by name, with the place of the accuracy left open."""

EXAMPLE = "proxy - 0.5 * log10(macs)"

_CALLS = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_NAMED = re.compile(rf"\b({'|'.join(NAMED)})\b(\s*\(([^()]*)\))?")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Utility:
    """An expression over metrics.

    Args:
        name: What its value is recorded as.
        text: The expression, in recorded names.
        metrics: Names of the metrics that it reads, in order of appearance.
    """

    name: str
    text: str
    metrics: tuple[str, ...]

    def __call__(self, metrics: Mapping[str, Any]) -> NDArray[np.float64]:
        """Its value, for numbers or for arrays that broadcast; NaN where it cannot be worked out (the log of 0).

        Raises:
            KeyError: One of `metrics` is not there.
        """
        values = {name: np.asarray(metrics[name], dtype=np.float64) for name in self.metrics}
        with np.errstate(all="ignore"):
            return np.asarray(_read(self.text)(values), dtype=np.float64)

    def of(self, metrics: Mapping[str, float]) -> float:
        """Its value for one design; ValueError, which says from what, where there is none."""
        missing = [name for name in self.metrics if name not in metrics]
        if missing:
            raise ValueError(f"{self.name}: got no {', '.join(missing)}, from which it is worked out")
        value = float(self(metrics))
        if math.isnan(value):
            told = ", ".join(f"{name} {metrics[name]:g}" for name in self.metrics)
            raise ValueError(f"{self.name}: cannot be worked out from {told}")
        return value

    def beside(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics with the utility among them, where it can be worked out from them."""
        try:
            return {**metrics, self.name: self.of(metrics)}
        except ValueError:
            return dict(metrics)


def read_utility(text: str, words: Mapping[str, str]) -> Utility:
    """The utility that a text means.

    Args:
        text: An expression, or a name of NAMED.
        words: What may be named -> what it is recorded as; `accuracy` among them where there is one.

    Raises:
        SettingError: It is no expression, names what is no metric, or no metric at all.
    """
    text = text.strip()
    try:
        _check_calls(text)
        written = parse(_NAMED.sub(lambda found: _expanded(found, words), text), LANGUAGE)
    except ExpressionError as error:
        hint = "" if "expected" in str(error) else f"; expected one such as {EXAMPLE}"
        raise SettingError(f"utility: {error}{hint}") from error
    for name in written.paths:
        if name not in words:
            raise SettingError(f"utility: {_unknown(name, text, words)}")
    if not written.paths:
        raise SettingError(f"utility: got {text!r}; expected an expression that names a metric, such as {EXAMPLE}")
    metrics = tuple(dict.fromkeys(words[name] for name in written.paths))
    whole = _NAMED.fullmatch(text)
    recorded = _WORD.sub(lambda found: words.get(found[0], found[0]), written.text)
    utility = Utility(whole[1] if whole else "utility", recorded, metrics)
    try:
        utility(dict.fromkeys(metrics, 1.0))  # whether functions take as many values as they are given
    except ExpressionError as error:
        raise SettingError(f"utility: got {text!r}; {str(error).removeprefix(f'{recorded}: ')}") from error
    return utility


def _check_calls(text: str) -> None:
    known = [*LANGUAGE.functions, *NAMED]
    for name in _CALLS.findall(text):
        if name not in known:
            expected = f"a function of {', '.join(sorted(known))}"
            raise SettingError(f"utility: {describe(name, expected, known=known)}")


def _expanded(found: re.Match[str], words: Mapping[str, str]) -> str:
    """What a name of NAMED stands for; SettingError where what it is given is no accuracy."""
    name, argument = found[1], ACCURACY if found[2] is None else found[3].strip()
    if ACCURACY not in words:
        raise SettingError(f"utility: got {found[0]!r}, which reads an accuracy; expected a proxy that measures one")
    if argument not in words:
        raise SettingError(f"utility: {_unknown(argument, found[0], words)}")
    if words[argument] != words[ACCURACY]:
        raise SettingError(
            f"utility: got {found[0]!r}; expected {name}({words[ACCURACY]}), a share of images put right, 0 to 1"
        )
    return NAMED[name].format(argument)


def _unknown(name: str, text: str, words: Mapping[str, str]) -> str:
    near = nearest(name, [*words, *NAMED])
    hint = f"; did you mean {near!r}?" if near and near != name else ""
    return f"got {name!r} in {text!r}; expected one of {', '.join(words)}{hint}"


@cache
def _read(text: str) -> Expression:
    return parse(text, LANGUAGE)


def _strict(apply: Callable[..., Any], name: str, least: int, most: int | None) -> Callable[..., NDArray]:
    """A function whose value is NaN wherever it is not finite, so that nothing impossible comes out as a number."""

    def worked_out(*values: NDArray) -> NDArray:
        if len(values) < least or (most is not None and len(values) > most):
            wanted = f"{least} value{'s' * (least > 1)}" + " or more" * (most is None)
            raise TypeError(f"{name} takes {wanted}, not {len(values)}")
        result = apply(*values)
        return np.where(np.isfinite(result), result, np.nan)

    return worked_out


def _power(base: NDArray, exponent: NDArray) -> NDArray:
    # By IEEE 754 NaN ** 0 and 1 ** NaN are 1.
    return np.where(np.isnan(base) | np.isnan(exponent), np.nan, np.power(base, exponent))


def _each(apply: np.ufunc) -> Callable[..., NDArray]:
    return lambda *values: reduce(apply, values)


LANGUAGE = Language(
    words="metrics, numbers and arithmetic",
    binary={
        ast.Add: _strict(np.add, "+", 2, 2),
        ast.Sub: _strict(np.subtract, "-", 2, 2),
        ast.Mult: _strict(np.multiply, "*", 2, 2),
        ast.Div: _strict(np.divide, "/", 2, 2),
        ast.Pow: _strict(_power, "**", 2, 2),
    },
    functions={
        **{name: _strict(getattr(np, name), name, 1, 1) for name in ("abs", "exp", "log", "log10", "sqrt")},
        "max": _strict(_each(np.maximum), "max", 2, None),
        "min": _strict(_each(np.minimum), "min", 2, None),
    },
    number=np.float64,
)
"""What a U may be written in."""
