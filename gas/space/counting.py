"""How many designs lie within bounds on macs and params: exact where it can be, hard bounds where not.

The chain is cut in the middle. Rows of a segment that cost the same and lead to the same state are one *point* with
the number of ways to make it, so each half is a set of points per state at the cut; a design is a point of the left
half and one of the right half, and those within a limit are counted by looking up every left point among the right.
Small halves are sorted (exact). Of large ones the right is entered in a table of cells and the left streams past it:
exact where a cell holds one value, otherwise what lies in cells that a limit cuts is the gap between two hard bounds.
Halves that are too large even for that are rounded down to a grid; how far is carried along as the *slack*, and widens
the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gas.errors import SettingError
from gas.space.dominance import Cells, Ints, Sorted
from gas.space.tables import Chain
from gas.space.windows import Window

SORTED = 4_000_000  # points of a half that are held and sorted
STREAMED = 400_000_000  # points of a half that pass once
LINE = 100_000_000  # points of the right half that are sorted, state by state, where one cost alone is bounded
CELLS = 1 << 23  # per state, 8 bytes each
CHUNK = 1 << 17  # points at a time: they stay in the cache


@dataclass(frozen=True)
class Count:
    """A number of designs.

    Args:
        low: At least so many; proven.
        high: At most so many; proven.
        total: All designs of the space.
    """

    low: int
    high: int
    total: int

    @property
    def exact(self) -> bool:
        """True where the bounds agree."""
        return self.low == self.high

    @property
    def share(self) -> tuple[float, float]:
        """The bounds as shares of all designs."""
        return self.low / self.total, self.high / self.total

    def __int__(self) -> int:
        """The number; SettingError where only bounds are known."""
        if not self.exact:
            raise SettingError(f"count: got the bounds {self}; expected an exact number")
        return self.low

    def __str__(self) -> str:
        return f"{self.low:,}" if self.exact else f"{self.low:,} to {self.high:,}"


@dataclass(frozen=True)
class Points:
    """Costs and how many ways make each.

    Args:
        costs: (n, c).
        ways: (n,) numbers of ways, or their residues.
    """

    costs: Ints
    ways: Ints


Sets = dict[tuple[int, int], Points]
"""Points of a stretch of segments, by the states before and behind it."""


@dataclass(frozen=True)
class Half:
    """A stretch of segments as two shorter ones: every point of one with every point of the other is a point.

    Args:
        first: The part in front.
        second: The part behind it.
        slack: (c,) true costs lie at most so far above what the points say.
    """

    first: Sets
    second: Sets
    slack: Ints

    def size(self) -> int:
        """Number of its points, as pairs."""
        behind: dict[int, int] = {}
        for (start, _), points in self.second.items():
            behind[start] = behind.get(start, 0) + len(points.ways)
        return sum(len(points.ways) * behind.get(end, 0) for (_, end), points in self.first.items())

    def pairs(self, *, end: int | None = None, start: int | None = None) -> list[tuple[Points, Points]]:
        """The point sets that meet, with the given state at an end."""
        return [
            (one, other)
            for (before, middle), one in self.first.items()
            for (state, behind), other in self.second.items()
            if state == middle and end in (None, behind) and start in (None, before)
        ]


def count_within(
    chain: Chain,
    window: Window,
    *,
    streamed: int = STREAMED,
    held: int = SORTED,
    cells: int = CELLS,
    line: int = LINE,
) -> Count:
    """Number of designs whose costs lie within a window.

    Args:
        chain: The tables of a space.
        window: Least and greatest costs.
        streamed: Most points per half that are looked at: more take longer and leave a narrower gap.
        held: Most points per half that are held and sorted.
        cells: Most cells of the table that stands in for a half that is not held.
        line: Most points of the right half that are sorted where one cost alone is bounded.
    """
    sizes = Sizes(streamed, held, cells, line)
    total = chain.size
    if not total or window.empty:
        return Count(0, 0, total)
    if not window.columns:
        return Count(total, total, total)
    if total < 1 << 62:
        low, high = _count(chain, window, None, sizes)
    else:  # in residues: each fits 64 bits, and together they say the number
        moduli = list(_primes(4 * total))
        found = [_count(chain, window, modulus, sizes) for modulus in moduli]
        low, high = (_restored([each[end] for each in found], moduli) for end in (0, 1))
    return Count(max(0, low), min(total, high), total)


@dataclass(frozen=True)
class Sizes:
    """How much may be looked at and held: see `count_within`."""

    streamed: int
    held: int
    cells: int
    line: int


def _count(chain: Chain, window: Window, modulus: int | None, sizes: Sizes) -> tuple[int, int]:
    layers = [_classes(chain, number, window.columns) for number in range(len(chain.layers))]
    cut = _cut([_reach(layers[:i]) + _reach(layers[i:]) for i in range(1, len(layers))])
    left, right = (_half(part, sizes, modulus) for part in (layers[:cut], layers[cut:]))
    if len(window.columns) == 1:  # the left may pass by: nothing but the right is held
        cells = 0 if right.size() <= sizes.line else sizes.cells
    else:
        cells = 0 if left.size() <= sizes.held and right.size() <= sizes.held else sizes.cells
    low = high = 0
    for state in sorted({end for _, end in left.second} & {start for start, _ in right.first}):
        least, most = _meeting(left, right, state, window, modulus, cells)
        low, high = low + least, high + most
    return low, high


def _meeting(left: Half, right: Half, state: int, window: Window, modulus: int | None, cells: int) -> tuple[int, int]:
    """Bounds of the number of designs that pass one state at the cut; sorted where no cells are given."""
    lefts, rights = left.pairs(end=state), right.pairs(start=state)
    corners = list(window.corners())
    slack = left.slack + right.slack
    streams = (points for pair in lefts for points in _passing(*pair, modulus))
    if cells:
        table = _table(rights, _least(lefts), np.max([limits for _, limits in corners], axis=0), modulus, cells)
        slack, look = slack + table.slack, table.look
    else:
        every = _together([points for pair in rights for points in _passing(*pair, modulus)])
        look = Sorted(every.costs, every.ways, modulus).look
        if len(window.columns) > 1:  # one look at all of them, because each sorts anew
            streams = iter([_together(list(streams))])
    low = high = 0
    for points in streams:
        for sign, limits in corners:
            most = _product(points.ways, look(limits - points.costs), modulus)
            least = _product(points.ways, look(limits - points.costs - slack), modulus) if slack.any() else most
            low, high = (low + least, high + most) if sign > 0 else (low - most, high - least)
    return low, high


def _product(ways: Ints, counts: Ints, modulus: int | None) -> int:
    return int(ways @ counts) if modulus is None else int((ways * counts % modulus).sum())


def _table(rights: list[tuple[Points, Points]], before: Ints, limits: Ints, modulus: int | None, cells: int) -> Cells:
    """The right half in one state as a table of cells."""
    base = _least(rights)
    top = np.max([one.costs.max(axis=0) + other.costs.max(axis=0) for one, other in rights], axis=0)
    apart = [points.costs - points.costs[0] for pair in rights for points in pair]
    apart += [(one.costs[0] + other.costs[0] - base)[None] for one, other in rights]
    grain = np.maximum(np.gcd.reduce(np.concatenate(apart), axis=0), 1)
    table = Cells(base, np.minimum(top, limits - before), grain, cells)
    for pair in rights:
        for points in _passing(*pair, modulus):
            table.enter(points.costs, points.ways)
    table.close(modulus)
    return table


def _least(pairs: list[tuple[Points, Points]]) -> Ints:
    return np.min([one.costs.min(axis=0) + other.costs.min(axis=0) for one, other in pairs], axis=0)


def _classes(chain: Chain, number: int, columns: tuple[int, ...]) -> Sets:
    """The rows of a segment by the states before and behind them, equal costs counted together."""
    found: Sets = {}
    for state, table in enumerate(chain.layers[number].tables):
        for after in np.unique(table.after):
            costs = table.costs[table.after == after][:, list(columns)]
            costs, ways = np.unique(costs, axis=0, return_counts=True)
            found[state, int(after)] = Points(costs, ways.astype(np.int64))
    return found


def _reach(layers: list[Sets]) -> float:
    """Number of points of a stretch of segments, none merged."""
    ways: dict[int, float] = {start: 1.0 for start, _ in layers[0]}
    for sets in layers:
        behind: dict[int, float] = {}
        for (start, end), points in sets.items():
            behind[end] = behind.get(end, 0.0) + ways.get(start, 0.0) * len(points.ways)
        ways = behind
    return sum(ways.values())


def _cut(sizes: list[float]) -> int:
    """Where the two sides of a cut have the fewest points together; 1 is behind the first segment."""
    return int(np.argmin(sizes)) + 1


def _half(layers: list[Sets], sizes: Sizes, modulus: int | None) -> Half:
    """A stretch of segments, rounded where it has more points than can be looked at."""
    columns = next(iter(layers[0].values())).costs.shape[1]
    if len(layers) == 1:
        zero = Points(np.zeros((1, columns), np.int64), np.ones(1, np.int64))
        first, one = {(start, start): zero for start, _ in layers[0]}, np.zeros(columns, np.int64)
        second, other = layers[0], one
    else:
        cut = _cut([_reach(layers[:i]) + _reach(layers[i:]) for i in range(1, len(layers))])
        (first, one), (second, other) = (_joined(part, sizes.held, modulus) for part in (layers[:cut], layers[cut:]))
    half = Half(first, second, one + other)
    while half.size() > sizes.streamed:
        larger, smaller = sorted((half.first, half.second), key=_held, reverse=True)
        rounded, more = _rounded(larger, _held(larger) // 2, modulus)
        if larger is half.first:
            half = Half(rounded, smaller, half.slack + more)
        else:
            half = Half(smaller, rounded, half.slack + more)
        if not more.any():  # one point per pair of states is left
            break
    return half


def _held(sets: Sets) -> int:
    return sum(len(points.ways) for points in sets.values())


def _joined(layers: list[Sets], held: int, modulus: int | None) -> tuple[Sets, Ints]:
    """Neighbouring segments as one, and the slack of its costs."""
    result = layers[0]
    slack = np.zeros(next(iter(result.values())).costs.shape[1], np.int64)
    for sets in layers[1:]:
        size = Half(result, sets, slack).size()
        if size > 4 * held:
            result, more = _rounded(result, max(1, _held(result) * 4 * held // size), modulus)
            slack = slack + more
        gathered: dict[tuple[int, int], list[Points]] = {}
        for (start, middle), one in result.items():
            for (state, end), other in sets.items():
                if state == middle:
                    gathered.setdefault((start, end), []).extend(_passing(one, other, modulus))
        result = {ends: _merged(points, modulus) for ends, points in gathered.items()}
        if _held(result) > held:
            result, more = _rounded(result, held, modulus)
            slack = slack + more
    return result, slack


def _passing(one: Points, other: Points, modulus: int | None) -> Iterator[Points]:
    """Every point of one with every point of the other, some at a time."""
    if len(one.ways) < len(other.ways):
        one, other = other, one
    step = max(1, CHUNK // len(other.ways))
    for i in range(0, len(one.ways), step):
        costs = (one.costs[i : i + step, None] + other.costs[None]).reshape(-1, one.costs.shape[1])
        ways = (one.ways[i : i + step, None] * other.ways[None]).reshape(-1)
        yield Points(costs, ways if modulus is None else ways % modulus)


def _merged(sets: list[Points], modulus: int | None) -> Points:
    """Points of equal costs as one."""
    every = _together(sets)
    costs, ways = every.costs, every.ways
    order = np.lexsort(costs.T)
    costs, ways = costs[order], ways[order]
    starts = np.flatnonzero(np.r_[True, (costs[1:] != costs[:-1]).any(axis=1)])
    sums = np.add.reduceat(ways, starts)
    return Points(costs[starts], sums if modulus is None else sums % modulus)


def _together(sets: list[Points]) -> Points:
    return Points(np.concatenate([p.costs for p in sets]), np.concatenate([p.ways for p in sets]))


def _rounded(sets: Sets, target: int, modulus: int | None) -> tuple[Sets, Ints]:
    """At most `target` points where the pairs of states allow it, costs rounded down; and by how much at most."""
    spans = np.max([np.ptp(points.costs, axis=0) for points in sets.values()], axis=0)
    cells, result = 1 << 20, sets
    width = np.ones_like(spans)
    while _held(result) > max(target, len(sets)) and cells:
        width = np.maximum(spans // cells + 1, 1)
        result = {}
        for ends, points in sets.items():
            base = points.costs.min(axis=0)
            down = base + (points.costs - base) // width * width
            result[ends] = _merged([Points(down, points.ways)], modulus)
        cells //= 2
    return result, width - 1


def _primes(product: int) -> Iterator[int]:
    """Primes below 2**31, falling, until their product exceeds a number."""
    candidate, reached = (1 << 31) - 1, 1
    sieve = [p for p in range(3, 46341, 2) if all(p % q for q in range(3, int(p**0.5) + 1, 2))]
    while reached <= product:
        if all(candidate % p for p in sieve):
            reached *= candidate
            yield candidate
        candidate -= 2


def _restored(residues: list[int], moduli: list[int]) -> int:
    """The number nearest 0 that leaves these residues (Chinese remainders)."""
    number, step = 0, 1
    for residue, modulus in zip(residues, moduli, strict=True):
        number += (residue - number) * pow(step, -1, modulus) % modulus * step
        step *= modulus
    return number - step if number > step // 2 else number
