"""What a second proxy said of the designs of a run's front: a file beside the archive."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.disk import write_whole
from gas.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

FILE = "checks.json"


@dataclass
class Checks:
    """What a second proxy says of the designs of a run's front.

    Args:
        proxy: Its registered name; empty where there is none.
        settings: Its settings.
        scores: Content id -> metrics.
        reasons: Content id -> why there are none.
    """

    proxy: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> set[str]:
        """Content ids of designs that need not be looked at again."""
        return {*self.scores, *self.reasons}

    @classmethod
    def read(cls, folder: Path) -> Checks:
        """Those of a run; none where nothing was checked. RunError where the file is damaged."""
        file = folder / FILE
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{name: type(getattr(cls(), name))(told[name]) for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise RunError(f"{file}: damaged: {error}") from error

    def beside(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of a frame with the metrics, NaN where a design was not looked at."""
        names = dict.fromkeys(metric for metrics in self.scores.values() for metric in metrics)
        told = {n: [self.scores.get(id, {}).get(n, math.nan) for id in rows["id"]] for n in names if n not in rows}
        found = rows.assign(**told)
        found.attrs = rows.attrs
        return found

    def write(self, folder: Path) -> None:
        """Into a run's folder."""
        write_whole(folder / FILE, json.dumps(self.__dict__, indent=1))
