"""What probes of built designs tell a generator: which stages to grow and which to shrink, and what growth is worth.

Shapes: N designs, S stages, D decisions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gas.generators._pool import Pool
    from gas.space import SearchSpace
    from gas.space.designs import Designs

LEAST = 8  # probed designs before anything is concluded from them
RIDGE = 1.0  # probed designs' worth of belief that a stage's saliency does not depend on its size
DIGIT = re.compile(r"stages\[(\d+)\]")


class Guidance:
    """Reads probes stage by stage.

    A stage is *short* where its share of the saliency is greater than its share of the cost, *wasted* where it is
    smaller. Guided children grow a stage by one step of one decision and shrink another by one, drawn in proportion to
    saliency over cost. The potential adds up what growth is worth: where saliency is taken for the slope of the score
    over the logarithm of a stage's macs, its integral from the usual size is a first guess of the score, up to a scale
    that the surrogate finds (or finds to be nothing).

    Args:
        space: The space.
        usual: Designs that say what is usual.
        pool: Writes the guided children.
        rng: Of all that is drawn.
    """

    def __init__(self, space: SearchSpace, usual: Designs, pool: Pool, rng: np.random.Generator) -> None:
        self._pool, self._rng = pool, rng
        found = [DIGIT.match(d.path) for d in space.decisions]
        self._stage = np.array([int(m[1]) if m else -1 for m in found], dtype=np.int64)
        self._choices = np.array([len(d.choices) for d in space.decisions], dtype=np.int64)
        self._count = 1 + max((rows.segment.stage for rows in space.arrays.layers), default=-1)
        self._columns = [
            [rows.costs[:, 0] * float(rows.segment.stage == stage) for rows in space.arrays.layers]
            for stage in range(self._count)
        ]
        self._signs = self._growth(space, usual)
        self._middle = self._sizes(usual).mean(axis=0)
        self._probed: dict[int, tuple[NDArray, NDArray]] = {}  # candidate -> (S,) shares of saliency, of cost
        self._slopes: tuple[NDArray, NDArray] | None = None

    def note(self, number: int, probes: Sequence[Mapping[str, float]]) -> None:
        """Keeps what probes found in a candidate: the sums over each stage's blocks."""
        saliency, cost = np.zeros(self._count), np.zeros(self._count)
        for block in probes:
            if "saliency" not in block:  # what has no shortcut is not to be had without it
                continue
            stage = int(block["stage"])
            saliency[stage] += block["saliency"]
            cost[stage] += block.get("latency_share", block.get("macs_share", 0.0))
        if saliency.sum() > 0 and cost.sum() > 0:
            self._probed[number] = saliency / saliency.sum(), cost / cost.sum()

    @property
    def ready(self) -> bool:
        """Whether there are enough probed designs to conclude anything."""
        return len(self._probed) >= LEAST

    def learn(self, numbers: Sequence[int], designs: Designs) -> None:
        """Fits, per stage, how its share of the saliency depends on its size.

        Args:
            numbers: (N,) candidates, some of them probed.
            designs: The same, as arrays.
        """
        rows = [k for k, number in enumerate(numbers) if number in self._probed]
        sizes = self._sizes(designs[np.array(rows)]) - self._middle  # (n, S)
        shares = np.array([self._probed[numbers[k]][0] for k in rows])
        mean, centred = shares.mean(axis=0), sizes - sizes.mean(axis=0)
        slope = (centred * (shares - mean)).sum(axis=0) / ((centred**2).sum(axis=0) + RIDGE)
        self._slopes = mean - slope * sizes.mean(axis=0), slope

    def potential(self, designs: Designs) -> NDArray[np.float64]:
        """(N, 1) the integral of the saliency over the logarithms of the stages' sizes."""
        sizes = self._sizes(designs) - self._middle
        level, slope = self._slopes
        return (level * sizes + 0.5 * slope * sizes**2).sum(axis=1, keepdims=True)

    def children(self, parents: Sequence[int], codes: NDArray, count: int) -> tuple[Designs, list[str]]:
        """Designs that differ from probed ones where the probes point.

        Args:
            parents: (N,) candidates, the best first.
            codes: (N, D) their numbers of choices.
            count: How many children.

        Returns:
            The children that came out so and are within the bounds, and in words how each was made.
        """
        rows = np.array([k for k, number in enumerate(parents) if number in self._probed][: max(8, len(parents) // 4)])
        drawn = rows[self._rng.integers(len(rows), size=count)]
        needs = np.array([self._need(parents[k]) for k in rows])[np.searchsorted(rows, drawn)]  # (count, S)
        before = self._pool.filled(codes[drawn])
        wishes, changes = before.copy(), []
        for sign in (1, -1):
            stages, decisions = self._step(codes[drawn], sign * needs, sign)
            lines = np.flatnonzero(decisions >= 0)
            wishes[lines, decisions[lines]] += sign * self._signs[decisions[lines]]
            changes.append(stages)
        (designs, inside), lines = self._pool.near_all(wishes), np.arange(count)
        # The bounds, or what the other stage passes on, may have turned a step into none.
        change = self._sizes(designs) - self._sizes(self._pool.near_all(before)[0])
        kept = np.flatnonzero(inside & (change[lines, changes[0]] > 0) & (change[lines, changes[1]] < 0))
        words = [
            f"stage {g} grown, stage {s} shrunk as probes of {parents[k]} point"
            for g, s, k in zip(changes[0][kept], changes[1][kept], drawn[kept], strict=True)
        ]
        return designs[kept], words

    def _step(self, codes: NDArray, liking: NDArray, sign: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) a stage of each design, drawn by (N, S) liking, and a decision in it that has a step; -1 for none."""
        stepped = codes + sign * self._signs
        movable = (self._signs != 0) & (codes >= 0) & (stepped >= 0) & (stepped < self._choices)
        open_ = np.stack([movable[:, self._stage == stage].any(axis=1) for stage in range(self._count)], axis=1)
        drawn = np.where(open_, liking + self._rng.gumbel(size=liking.shape), -np.inf)
        stages = drawn.argmax(axis=1)
        chances = np.where(movable & (self._stage == stages[:, None]), self._rng.random(movable.shape), -1.0)
        return stages, np.where(open_.any(axis=1), chances.argmax(axis=1), -1)

    def _need(self, number: int) -> NDArray[np.float64]:
        """(S,) logarithm of the share of saliency over the share of cost."""
        saliency, cost = self._probed[number]
        return np.log((saliency + 0.01) / (cost + 0.01))

    def _sizes(self, designs: Designs) -> NDArray[np.float64]:
        """(N, S) logarithms of the stages' macs."""
        sums = [designs.arrays.total(designs.rows, columns) for columns in self._columns]
        return np.log(np.maximum(np.stack(sums, axis=1), 1.0))

    def _growth(self, space: SearchSpace, usual: Designs) -> NDArray[np.int64]:
        """(D,) the sign that a step up in each ordered decision has on macs; 0 where it has none."""
        some = usual[: min(256, len(usual))]
        writer, signs = space.writer(feasible=False), np.zeros(len(space.decisions), dtype=np.int64)
        for number, decision in enumerate(space.decisions):
            codes = self._pool.filled(some.codes)
            lines = some.codes[:, number] >= 0
            if not decision.ordered or len(decision.choices) < 2 or not lines.any():
                continue
            low, high = codes[lines].copy(), codes[lines].copy()
            low[:, number], high[:, number] = 0, len(decision.choices) - 1
            change = writer.write(high, self._rng)[0].macs.mean() - writer.write(low, self._rng)[0].macs.mean()
            signs[number] = int(np.sign(change)) if abs(change) > 1e-3 * some.macs.mean() else 0
        return signs
