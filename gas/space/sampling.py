"""Designs drawn uniformly from all that lie within bounds on macs and params, thousands at a time.

Neighbouring segments are written out as links (gas/space/links.py). For one weighted sum of the costs, told in some
hundred whole units and rounded down, a dynamic programme over the links knows how many ways complete each state within
the units that are left. Drawing link by link in proportion to those numbers is uniform over a set that holds every
design within the bounds and, because of the rounding and of the other bounds, a few more; those are rejected on their
exact costs. What is left is uniform: to about one part in 10**10, the precision of the drawing itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gas.errors import SettingError
from gas.space.arrays import Arrays
from gas.space.links import Link, links
from gas.space.programme import Direction, LastStep, Programme, Step
from gas.space.windows import Window

WAYS = 200_000  # per link
COARSEST, COARSE, FINEST = 16, 64, 2048  # units: to begin with, to compare directions, at most
CHUNK = 1 << 14  # designs at a time, so that everything stays in the cache
PATIENCE = 1 << 28  # proposals in vain before a set is called too small to draw from
MIXES = ((4, 0), (0, 4), (3, 1), (2, 2), (1, 3))


class Sampler:
    """Draws designs uniformly from those within a window.

    Args:
        arrays: The array form of a space.
        window: Least and greatest costs.
        ways: Most ways per link: more make fewer links and faster draws, and take longer to write out.

    Attributes:
        size: Number of designs that proposals are drawn from: those within the window and some more.
    """

    def __init__(self, arrays: Arrays, window: Window, ways: int = WAYS) -> None:
        chain = links(arrays, window.columns, ways)
        if len(chain) == 1:  # every design is written out: nothing is left to reject
            inside = window.holds(chain[0].costs) if window.columns else np.ones(len(chain[0].after), bool)
            chain, window = [chain[0].only(np.flatnonzero(inside))], Window.open()
        self._window = window
        programme = _programme(chain, window) if len(chain[0].after) else None
        self.size = programme.size if programme else 0.0
        if programme is None or not self.size:
            raise SettingError("sample_feasible: got bounds that no design meets; expected some that can be met")
        self._steps = [Step(programme, number) for number in range(len(chain) - 1)]
        self._last = LastStep(programme)
        self._most = programme.most

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """(segments, n) row numbers of designs.

        Raises:
            SettingError: Hardly any proposal lies within the window.
        """
        segments = sum(len(step.link.rows) for step in [*self._steps, self._last])
        result = np.empty((segments, n), dtype=np.int32)
        done, vain = 0, 0
        while done < n:
            ways = self._propose(min(CHUNK, max(256, 2 * (n - done))), rng)
            kept = np.flatnonzero(self._inside(ways))[: n - done]
            segment = 0
            for step, way in zip([*self._steps, self._last], ways, strict=True):
                mine = way[kept]
                for numbers in step.link.rows:
                    numbers.take(mine, out=result[segment, done : done + len(kept)], mode="clip")
                    segment += 1
            done += len(kept)
            vain = 0 if len(kept) else vain + len(ways[0])
            if vain >= PATIENCE:
                raise SettingError(f"sample_feasible: got none in {vain:,} proposals; expected bounds that are wider")
        return result

    def _propose(self, n: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Per link, (n,) ways."""
        state, left, ways = np.zeros(n, np.int64), np.full(n, self._most, np.int64), []
        for step in self._steps:
            way, state, left = step.draw(state, left, rng)
            ways.append(way)
        return [*ways, self._last.draw(state, left, rng)]

    def _inside(self, ways: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
        costs = []
        for column in range(len(self._window.low)):
            each = [s.link.costs[column].take(way) for s, way in zip([*self._steps, self._last], ways, strict=True)]
            costs.append(sum(each[1:], each[0]))
        return self._window.holds(costs) if costs else np.ones(len(ways[0]), bool)


def _programme(chain: list[Link], window: Window) -> Programme:
    """The one that takes the least effort: along the direction that tells the most, and as finely as it pays."""
    tries = list(_directions(chain, window))
    if len(tries) > 1:
        tries = [min(tries, key=lambda direction: Programme(chain, direction, COARSE).size)]
    best, units = Programme(chain, tries[0], COARSEST), COARSEST
    while best.size and units < FINEST:
        units *= 2
        finer = Programme(chain, tries[0], units)
        if not finer.drawable:
            break
        if finer.effort < best.effort:
            best = finer
    return best


def _directions(chain: list[Link], window: Window) -> Iterator[Direction]:
    """Weighted sums that may tell apart what is within the window: each cost, and mixes of two."""
    columns = len(window.low)
    if columns == 0 or len(chain) == 1:
        yield Direction(np.zeros(len(chain[0].costs), np.int64), 0, 0)
        return
    greatest = [sum(int(link.costs[column].max()) for link in chain) for column in range(columns)]
    # Whole numbers whose products with any cost, summed, stay within 64 bits.
    scales = [max(1, (1 << 58) // max(1, most)) for most in greatest]
    unit = min(scale * max(1, int(high)) for scale, high in zip(scales, window.high, strict=True))
    signs = ((1, 1), (1, -1)) if window.floors.any() else ((1, 1),)
    seen = set()
    for mix in MIXES if columns == 2 else ((4,),):
        for sign in signs:
            weights = [
                part * s * max(1, unit // max(1, int(high)) // 4)
                for part, s, high in zip(mix, sign, window.high, strict=False)
            ]
            if tuple(map(abs, weights)) in seen and 0 in weights:
                continue
            seen.add(tuple(map(abs, weights)))
            ends = [
                sorted((w * int(lo), w * int(hi))) for w, lo, hi in zip(weights, window.low, window.high, strict=True)
            ]
            yield Direction(np.array(weights, np.int64), sum(e[0] for e in ends), sum(e[1] for e in ends))
