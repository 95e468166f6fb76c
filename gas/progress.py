"""How far a search has come, for whoever watches it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gas.evaluation import Objective
from gas.pareto import hypervolume, non_dominated


@dataclass
class Progress:
    """Where a search stands.

    Args:
        total: Evaluations wanted.
        done: Evaluations finished, failed ones included.
        failed: Of these, failed.
        stopped: Of these, stopped early.
        proposed: Candidates proposed.
        infeasible: Of these, outside the constraints.
        duplicate: Of these, proposed before.
        in_flight: Evaluations under way.
        best: Best value of the first objective so far; NaN before the first.
        hypervolume: Volume dominated so far, with each objective to be made small as a share of its bound; NaN where
            one has no bound.
        elapsed: Seconds since the start.
        seconds_left: Estimate; NaN before there is one.
        note: What is going on, in words.
    """

    total: int
    done: int = 0
    failed: int = 0
    stopped: int = 0
    proposed: int = 0
    infeasible: int = 0
    duplicate: int = 0
    in_flight: int = 0
    best: float = math.nan
    hypervolume: float = math.nan
    elapsed: float = 0.0
    seconds_left: float = math.nan
    note: str = ""

    @property
    def feasible_share(self) -> float:
        """Share of new designs that satisfied the constraints; NaN before the first."""
        fresh = self.proposed - self.duplicate
        return (fresh - self.infeasible) / fresh if fresh else math.nan


class Front:
    """The front of the evaluations so far, for the two numbers that a progress shows of it.

    Args:
        objectives: What is searched for.
        reference: Losses of the hypervolume's reference point; empty for none.
    """

    def __init__(self, objectives: Sequence[Objective], reference: Sequence[float]) -> None:
        self._objectives = tuple(objectives)
        self._reference = np.array(reference, dtype=float)
        self._losses: list[tuple[float, ...]] = []
        self._least = math.inf
        self._volume: float | None = None  # None: to be worked out when it is asked for

    def add(self, losses: tuple[float, ...]) -> None:
        """Takes in the objectives of an evaluation, all to be made small; nothing where one is not a finite number."""
        if not all(map(math.isfinite, losses)):
            return
        self._least = min(self._least, losses[0])
        points = [*self._losses, losses]
        kept = non_dominated(points)
        if kept[-1]:
            self._losses = [point for point, stays in zip(points, kept, strict=True) if stays]
            self._volume = None

    @property
    def best(self) -> float:
        """Best value of the first objective; NaN before there is one."""
        if not self._losses:
            return math.nan
        return -self._least if self._objectives[0].maximise else self._least

    @property
    def hypervolume(self) -> float:
        """See `Progress`."""
        if self._volume is None:
            self._volume = self._dominated()
        return self._volume

    def _dominated(self) -> float:
        if not self._losses or not len(self._reference) or not np.isfinite(self._reference).all():
            return math.nan
        scale = np.where(self._reference == 0, 1.0, np.abs(self._reference))
        return hypervolume(np.array(self._losses) / scale, self._reference / scale)
