"""The dynamic programme that draws designs uniformly: how many ways complete each state within the units left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gas.space.links import Link, by_state

CACHED = 1 << 20  # entries of a table with which a draw takes twice as long as with a small one
PAIRS = 1 << 15  # (state, units left) at most where there is a choice: their numbers leave 37 bits for a share
DENSE = 1 << 22


@dataclass(frozen=True)
class Direction:
    """A weighted sum of the costs, and within which bounds the window keeps it.

    Args:
        weights: (columns,) whole numbers.
        low: Least sum within the window.
        high: Greatest sum within the window.
    """

    weights: NDArray[np.int64]
    low: int
    high: int


@dataclass(frozen=True)
class Groups:
    """The ways of a link that lead from one state to one state and take equally many units.

    Args:
        keys: (ways,) a number per way that tells its group and sorts ways by group; -1 for one that takes too much.
        start: (groups,) state in front, rising.
        after: (groups,) state behind.
        taken: (groups,) units.
        sizes: (groups,) ways.
    """

    keys: NDArray[np.int64]
    start: NDArray[np.int64]
    after: NDArray[np.int64]
    taken: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, link: Link, taken: NDArray[np.int64], most: int) -> Groups:
        """The groups of a link whose ways take so many units, those with more than `most` left out."""
        starts, behind = len(link.first) - 1, int(link.after.max()) + 1
        state = np.repeat(np.arange(starts), np.diff(link.first))
        keys = np.where(taken <= most, (state * behind + link.after) * (most + 1) + taken, -1)
        if starts * behind * (most + 1) <= DENSE:
            counts = np.bincount(keys + 1)[1:]
            present = np.flatnonzero(counts)
            sizes = counts[present]
        else:
            present, sizes = np.unique(keys[keys >= 0], return_counts=True)
        ends, units = np.divmod(present, most + 1)
        start, after = np.divmod(ends, behind)
        return cls(keys, start, after, units, sizes)


class Programme:
    """Counts of completions for one direction, and the ways of all links told in units of it.

    The costs of a link are taken less the least with which its state can be completed, so that what all links take is
    what a design costs above the cheapest. Each link's share is rounded down to units: the units of a design within the
    window are within its own, and so are those of some designs that are not.

    Args:
        chain: The links.
        direction: What is kept within bounds.
        units: How finely at most.

    Attributes:
        size: Number of the designs that it can draw.
        entries: Entries of the largest table that drawing takes.
    """

    def __init__(self, chain: list[Link], direction: Direction, units: int) -> None:
        self.chain = chain
        sums = [link.costs.T @ direction.weights for link in chain]
        least = [np.zeros(1, np.int64)]
        for link, values in zip(reversed(chain), reversed(sums), strict=True):
            least.insert(0, by_state(np.minimum, values + least[0][link.after], link.first))
        room = direction.high - int(least[0][0])
        unit = max(1, -(-(room + 1) // units))
        self.most = room // unit  # units that all links may take together
        needed = -(-(direction.low - int(least[0][0]) - len(chain) * (unit - 1)) // unit)
        self.spare = self.most - max(0, needed)  # units that may be left over
        self.groups, self.within = [], []
        for number, (link, values) in enumerate(zip(chain, sums, strict=True)):
            above = values + least[number + 1][link.after] - np.repeat(least[number], np.diff(link.first))
            self.groups.append(Groups.of(link, above // unit, max(self.most, 0)))
        self._complete()

    def _complete(self) -> None:
        """Counts completions: per link (states, units left), from the last to the first."""
        left = np.arange(max(self.most, 0) + 1)
        possible = (left <= self.spare) & (self.most >= 0)
        behind = possible[None].astype(np.float64)
        self.within = [behind]
        self.entries = 0
        for number in reversed(range(len(self.chain))):
            groups, states = self.groups[number], len(self.chain[number].first) - 1
            here = np.zeros((states, len(left)))
            if 0 < number < len(self.chain) - 1:
                self.entries = max(self.entries, len(groups.sizes) * len(left))
            for units in np.unique(groups.taken):  # of all groups at once: they look equally far back
                mine = groups.taken == units
                ways = np.zeros((states, len(behind)))
                np.add.at(ways, (groups.start[mine], groups.after[mine]), groups.sizes[mine])
                here[:, units:] += ways @ behind[:, : len(left) - units]
            self.within.insert(0, here)
            behind = here
        self.size = float(behind[0, -1])

    def table(self, number: int) -> Step:
        """How the link is drawn."""
        return Step(self, number)

    @property
    def effort(self) -> float:
        """What a design takes that is within the window: proposals, each dearer the less the tables fit the cache."""
        return self.size * (1 + self.entries / CACHED)

    @property
    def drawable(self) -> bool:
        """True where its tables are small enough to be searched exactly."""
        pairs = max((len(link.first) - 1 for link in self.chain[1:-1]), default=1) * (self.most + 1)
        return self.entries <= 8 * CACHED and pairs <= PAIRS


class Step:
    """How one link is drawn: a group in proportion to its completions, then one of the group's ways.

    Args:
        programme: The counts.
        number: Of the link.
    """

    def __init__(self, programme: Programme, number: int) -> None:
        groups, link = programme.groups[number], programme.chain[number]
        kept = np.flatnonzero(groups.keys >= 0)
        self.link = link.only(kept[np.argsort(groups.keys[kept], kind="stable")])
        self.after, self.taken, self.sizes = groups.after, groups.taken, groups.sizes
        self.begins = np.cumsum(np.r_[0, groups.sizes[:-1]])
        # The first link starts from one state with all units left, and needs that row alone.
        self.lowest = programme.most if number == 0 else 0
        states = len(link.first) - 1
        starts = np.searchsorted(groups.start, np.arange(states + 1))
        self.group, self.many = starts[:-1], np.diff(starts)
        rows = programme.most + 1 - self.lowest
        self.offsets = np.r_[0, np.cumsum(self.many * rows)[:-1]]
        self.pairs = np.arange(states) * rows
        self.greatest = greatest_share(states * rows)
        self.flat = np.concatenate([self._shares(programme.within[number + 1], s, rows) for s in range(states)])

    def _shares(self, behind: NDArray[np.float64], state: int, rows: int) -> NDArray[np.float64]:
        """(rows x groups,) summed shares of a state's groups, plus the number of the pair (state, units left)."""
        mine = slice(self.group[state], self.group[state] + self.many[state])
        left = self.lowest + np.arange(rows)[:, None] - self.taken[mine][None]
        ways = self.sizes[mine] * np.where(left >= 0, behind[self.after[mine], np.maximum(left, 0)], 0.0)
        sums = np.cumsum(ways, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(sums[:, -1:] > 0, sums / sums[:, -1:], 1.0) if self.many[state] else sums
        return (self.pairs[state] + np.arange(rows)[:, None] + shares).reshape(-1)

    def draw(
        self, state: NDArray, left: NDArray, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(n,) ways of `link`, and the states and units left behind them."""
        row = left - self.lowest
        wanted = self.pairs[state] + row + rng.random(len(state)) * self.greatest
        place = np.searchsorted(self.flat, wanted, side="right")
        group = place - self.offsets[state] - row * self.many[state] + self.group[state]
        way = self.begins[group] + (rng.random(len(state)) * self.sizes[group]).astype(np.int64)
        return way, self.after[group], left - self.taken[group]


def greatest_share(pairs: int) -> float:
    """The greatest number below 1 that stays below 1 when it is added to the number of any pair, in floats."""
    return 1 - 2.0 ** (pairs.bit_length() - 52)


class LastStep:
    """How the last link is drawn: its ways stand in the order of their units, so one number says which.

    Args:
        programme: The counts.
    """

    def __init__(self, programme: Programme) -> None:
        groups, link = programme.groups[-1], programme.chain[-1]
        kept = np.flatnonzero(groups.keys >= 0)  # there is one state behind the last link
        self.link = link.only(kept[np.argsort(groups.keys[kept], kind="stable")])
        ways = np.zeros((len(link.first) - 1, programme.most + 2), dtype=np.int64)
        ways[groups.start, groups.taken + 1] = groups.sizes
        self.upto = self.link.first[:-1, None] + np.cumsum(ways, axis=1)
        self.spare = programme.spare

    def draw(self, state: NDArray, left: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
        """(n,) ways of `link`."""
        low, high = self.upto[state, np.maximum(left - self.spare, 0)], self.upto[state, left + 1]
        return low + (rng.random(len(state)) * (high - low)).astype(np.int64)
