"""Which candidates are worth more training: successive halving as results come in, without waiting for anyone.

A ladder has rungs: a proxy at rising fidelities. Every candidate begins at the lowest; at each rung those that are
among the best so far go on to the next, from the weights that they have, and the others are stopped there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gas.errors import SettingError, describe
from gas.pareto import ranks

PREDICTED = "_predicted"
"""What is put behind the name of a proxy's metric that was not worked out but foretold."""


class Ladder:
    """Keeps what came of candidates at each rung, and says who goes on.

    Source: asynchronous successive halving, Li et al., arXiv 1810.05934, section 3; with several objectives, Schmucker
    et al., arXiv 2106.12639: non-dominated fronts, and within the last of them an epsilon net. Differs: a candidate
    is judged once at each rung, when its result comes in, and does not wait there to be taken up later, so that a
    generator is told of each candidate once and soon; the net begins at the front's best in the first objective.

    Args:
        rungs: Number of rungs, the last one included; 1 is no ladder.
        eta: One in so many goes on from each rung.
    """

    def __init__(self, rungs: int, eta: float) -> None:
        if isinstance(eta, bool) or not isinstance(eta, int | float) or not 1 < eta < math.inf:
            raise SettingError(f"eta: {describe(eta, 'a number above 1: one in so many goes on from each rung')}")
        self.rungs = rungs
        self.eta = eta
        self._losses: list[list[tuple[float, ...]]] = [[] for _ in range(rungs)]
        self._scores: list[dict[int, dict[str, float]]] = [{} for _ in range(rungs)]
        self._gains: list[dict[str, list[float]]] = [{} for _ in range(rungs)]

    @property
    def last(self) -> int:
        """Number of the last rung."""
        return self.rungs - 1

    def record(self, rung: int, number: int, scores: Mapping[str, float], losses: Sequence[float]) -> None:
        """Takes in what a candidate came to at a rung.

        Args:
            rung: The rung.
            number: The candidate's.
            scores: Metrics of its proxies there.
            losses: Its objectives, all to be made small; NaN where one is not known.
        """
        self._losses[rung].append(tuple(losses))
        self._scores[rung][number] = dict(scores)
        if rung == self.last:  # now it is known what the rungs below were worth
            for lower in range(self.last):
                for name, value in self._scores[lower].get(number, {}).items():
                    if name in scores:
                        self._gains[lower].setdefault(name, []).append(scores[name] - value)

    def goes_on(self, rung: int, losses: Sequence[float]) -> bool:
        """Whether a candidate with these losses, which are recorded, is among the best 1 / eta (rounded up) there."""
        there = np.array(self._losses[rung])
        if rung == self.last or np.isnan(losses).any():
            return False
        kept = math.ceil(len(there) / self.eta)
        return tuple(losses) in {tuple(row) for row in there[best(there, kept)]}

    def predicted(self, rung: int, scores: Mapping[str, float]) -> dict[str, float]:
        """What a candidate's proxies would come to at the last rung, under their names with `_predicted` behind.

        What it has, and the median of what those gained from there that did go on; nothing, as long as none has.
        """
        gains = self._gains[rung]
        return {f"{name}{PREDICTED}": value + _median(gains.get(name, [])) for name, value in scores.items()}


def best(losses: np.ndarray, count: int) -> list[int]:
    """(n, m) losses -> the `count` best rows: front by front, and of the last one an epsilon net.

    The net takes a front's best in the first column, then whichever row lies farthest from those taken, each column
    scaled to the front's own range.
    """
    front = ranks(losses)
    chosen: list[int] = []
    for number in range(front.max(initial=-1) + 1):
        members = np.flatnonzero(front == number)
        if len(chosen) + len(members) <= count:
            chosen += members.tolist()
            continue
        chosen += members[_net(losses[members], count - len(chosen))].tolist()
        break
    return chosen


def _net(points: np.ndarray, count: int) -> list[int]:
    if count <= 0:
        return []
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    chosen = [int(np.lexsort(scaled.T[::-1])[0])]
    nearest = np.linalg.norm(scaled - scaled[chosen[0]], axis=1)
    while len(chosen) < count:
        nearest[chosen] = -1.0  # equal rows lie at 0 from one another, and each may be taken
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
    return chosen


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0
