"""What a person calls a column of a front, and which end of it is the better one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gas.errors import SettingError, describe, nearest
from gas.evaluation import UNITS, Objective

if TYPE_CHECKING:
    import pandas as pd

# Of a value with its spread, the value is meant where nothing else is said.
SPREAD = ("_q1", "_q3", "_low", "_high")
NO_METRIC = ("id", "number", "status", "reason", "origin", "worker", "fidelity", "architecture")
WISHES = ("accuracy", "acc", "top1", "score")  # asked for where gas has a score, which it never calls an accuracy
COSTS = tuple(name for name, unit in UNITS.items() if not unit.startswith("%"))


class Columns:
    """The columns of a frame by the names that people have for them.

    A name means the column of that name; else what the space's language calls so (`proxy`, `latency`); else the one
    column that begins or ends with it (`latency_ms` is `latency_ms_predicted` where nothing was measured, `accuracy`
    is `blend_accuracy`).

    Args:
        frame: Evaluations, as `Run.frame` or `Run.front` gives them; its attrs say which columns are decisions.
        words: What a space's language says -> the column's name.
        objectives: What was searched for.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        words: Mapping[str, str],
        objectives: Sequence[Objective] = (),
    ) -> None:
        self.names = [str(name) for name in frame]
        self._words = {said: name for said, name in words.items() if said != name}
        self._maximised = {objective.metric: objective.maximise for objective in objectives}
        self._decisions = frozenset(frame.attrs.get("decisions", ()))
        self._numeric = [name for name in self.names if frame[name].dtype.kind in "iuf"]
        self._texts = {
            value for name in self.names if frame[name].dtype == "str" for value in frame[name].dropna().unique()
        }

    def resolve(self, name: str, where: str) -> str:
        """The column that a name means; SettingError, beginning with `where`, where none or more than one is."""
        if name in self.names:
            return name
        if name in self._words:
            return self.resolve(self._words[name], where)
        plain = [column for column in self.names if not column.endswith(SPREAD)]
        found = [c for c in plain if c.startswith(f"{name}_")] or [c for c in plain if c.endswith(f"_{name}")]
        if len(found) == 1:
            return found[0]
        if found:
            expected = f"one of {', '.join(found)}"
            raise SettingError(f"{where}: {describe(name, expected)}")
        # Decisions may be hundreds; metrics are told in full.
        metrics = [c for c in self.names if c not in self._decisions and c not in ("architecture", "fidelity")]
        more = f" or one of {len(self._decisions)} decisions" if self._decisions else ""
        known = [*metrics, *self._decisions, *self._words]
        expected = f"one of {', '.join(metrics)}{more}"
        if name in self._texts:
            text = f"{describe(name, expected)}; did you mean the text '{name}', in quotes?"
        elif name in WISHES and "proxy" in self._words:
            led = f"'proxy', the score that led the search ({self._words['proxy']})"
            text = f"{describe(name, expected)}; did you mean {led}?"
        else:
            text = describe(name, expected, known=known)
        raise SettingError(f"{where}: {text}")

    def metric(self, name: str, where: str) -> str:
        """The column of numbers that a name means and that is no decision; SettingError where it is none."""
        column = self.resolve(name, where)
        metrics = [c for c in self._numeric if c not in self._decisions and c not in NO_METRIC]
        if column in metrics:
            return column
        near = nearest(name, metrics)
        hint = f"; did you mean {near!r}?" if near else ""
        raise SettingError(f"{where}: got {name!r}; expected a metric, one of {', '.join(metrics)}{hint}")

    def descending(self, column: str) -> bool:
        """Whether a column's better end is the greater one: as searched for; costs are small, scores great."""
        if column in self._maximised:
            return self._maximised[column]
        if column in self._decisions or column in NO_METRIC or column not in self._numeric:
            return False
        return not (column.startswith("latency_") or column in COSTS)

    def losses(self, frame: pd.DataFrame, column: str) -> list[float]:
        """A metric's values with the sign turned so that less is better; NaN where it is not known."""
        values = frame[column].to_numpy(dtype=float, na_value=math.nan)
        return [float(-value if self.descending(column) else value) for value in values]


def values_of(frame: pd.DataFrame, column: str) -> list:
    """A column as Python's own values; None where one is not known."""
    return [None if value is None or value != value else value for value in _plain(frame[column])]


def _plain(column: pd.Series) -> list:
    return column.astype(object).where(column.notna(), None).tolist()
