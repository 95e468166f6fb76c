"""What a tracker is told, and what it must be able to do."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gas.evaluation import Evaluation


@dataclass(frozen=True)
class Point:
    """How far a search is after an evaluation.

    Args:
        step: Evaluations up to here, from 1.
        evaluation: The one.
        time: When it came, seconds since 1970.
        best: Best value of the first objective so far; NaN before there is one.
        hypervolume: As the progress has it; NaN where it has none.
    """

    step: int
    evaluation: Evaluation
    time: float
    best: float
    hypervolume: float

    def values(self, objectives: Sequence[str]) -> dict[str, float]:
        """What there is to draw: `objectives/NAME`, `best/NAME` of the first, `hypervolume`, `seconds`; finite ones."""
        metrics = self.evaluation.metrics if self.evaluation.ok else {}
        told = {f"objectives/{name}": metrics.get(name, math.nan) for name in objectives}
        told |= {f"best/{name}": self.best for name in objectives[:1]}
        told |= {"hypervolume": self.hypervolume, "seconds": self.evaluation.seconds}
        return {name: float(value) for name, value in told.items() if math.isfinite(value)}


class Tracker(abc.ABC):
    """A tracker of one run."""

    name: str

    @abc.abstractmethod
    def begin(self, out: Path, record: Mapping[str, Any], points: Sequence[Point]) -> None:
        """Starts, or goes on where it was cut off.

        Args:
            out: The run's directory.
            record: What run.json says.
            points: All up to now, from the first on, whether it was told of them before or not.
        """

    @abc.abstractmethod
    def tell(self, points: Sequence[Point]) -> None:
        """Takes what has come since."""

    def finish(self, out: Path, ended: str) -> None:  # noqa: B027  not every tracker has something to do then
        """The search has ended, and its front is written."""

    @abc.abstractmethod
    def close(self) -> None:
        """Lets go; may be called without `finish`, and more than once."""
