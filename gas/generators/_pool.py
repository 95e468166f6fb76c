"""Where the designs that are screened come from: anywhere, the policy, and the neighbourhood of good designs.

Shapes: N designs, D decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gas.errors import SettingError
from gas.generators._policy import Policy
from gas.space.designs import Designs

if TYPE_CHECKING:
    from gas.space import SearchSpace

CROSSED = 0.3  # share of children with two parents
CHANGES = (1.0, 2.0, 4.0)  # decisions changed in a child, on average; each is as frequent
WHOLE = 50_000  # designs of a space that is screened as a whole
STEP = 0.6  # share of changes of an ordered decision that go to the next choice


class Pool:
    """Draws designs to be screened, tens of thousands at a time.

    Args:
        space: Where they come from.
        feasible: Keep to the space's bounds while writing them.
        rng: Of all that is drawn.
    """

    def __init__(self, space: SearchSpace, *, feasible: bool, rng: np.random.Generator) -> None:
        self._writer = space.writer(feasible=feasible)
        self._feasible = feasible
        self._space = space
        self._rng = rng
        self._choices = np.array([len(d.choices) for d in space.decisions], dtype=np.int64)
        self._ordered = np.array([d.ordered for d in space.decisions], dtype=bool)
        self.whole: Designs | None = None
        """All designs there are, where these are few."""
        if space.size() <= WHOLE:
            every = Designs(space.arrays, space.arrays.every())
            self.whole = every[space.within(every)] if feasible else every

    def uniform(self, count: int) -> list[NDArray[np.int64]]:
        """Numbers of choices of designs drawn uniformly from all within the bounds on macs and params, `count` at most.

        Those outside a bound on a priced cost are left out; there are none where the bounds leave hardly anything.
        """
        if not self._feasible:
            return list(self.anywhere(count).codes.astype(np.int64))
        try:
            drawn = self._space.sample_feasible(4 * count, self._rng)
        except SettingError:  # the bounds leave too little to hit upon
            return []
        return list(drawn[self._space.within(drawn)][:count].codes.astype(np.int64))

    def anywhere(self, count: int) -> Designs:
        """Designs near to wishes that are uniform in every decision."""
        return self.near(self._uniform(count))

    def policy(self, policy: Policy, count: int) -> Designs:
        """What the policy writes."""
        return policy.write(self._writer, count, self._rng)

    def children(self, parents: NDArray[np.integer], count: int, chances: NDArray | None = None) -> Designs:
        """Mutations and crossings of designs.

        Args:
            parents: (N, D) numbers of choices.
            count: How many children.
            chances: (N,) how often each becomes a parent; all alike where not given.
        """
        rng = self._rng
        drawn = rng.choice(len(parents), size=(2, count), p=chances)
        anything, wishes = self._uniform(count), parents[drawn[0]]
        wishes = np.where(wishes >= 0, wishes, anything)
        crossed = (rng.random(count) < CROSSED)[:, None] & (rng.random(wishes.shape) < 0.5)
        other = parents[drawn[1]]
        wishes = np.where(crossed & (other >= 0), other, wishes)
        rates = rng.choice(CHANGES, size=(count, 1)) / max(len(self._choices), 1)
        changed = rng.random(wishes.shape) < rates
        stepped = self._ordered & (rng.random(wishes.shape) < STEP)
        nearby = wishes + rng.choice((-1, 1), size=wishes.shape)
        fresh = np.where(stepped, np.clip(nearby, 0, self._choices - 1), anything)
        return self.near(np.where(changed, fresh, wishes))

    def near(self, wishes: NDArray[np.integer]) -> Designs:
        """The designs near to (N, D) wished numbers of choices; those that end outside the bounds are left out."""
        designs, inside = self.near_all(wishes)
        return designs if inside.all() else designs[inside]

    def near_all(self, wishes: NDArray[np.integer]) -> tuple[Designs, NDArray[np.bool_]]:
        """The designs near to (N, D) wished numbers of choices, and which of them can be proposed."""
        designs, inside = self._writer.write(np.clip(wishes, 0, self._choices - 1), self._rng)
        return designs, inside | (not self._feasible)

    def filled(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """(N, D) numbers of choices, with random ones for decisions that do not exist: a change may call for them."""
        return np.where(codes >= 0, codes, self._uniform(len(codes)))

    def _uniform(self, count: int) -> NDArray[np.int64]:
        return self._rng.integers(0, self._choices, size=(count, len(self._choices)))


def joined(parts: list[Designs]) -> Designs:
    """Designs one after another, each once."""
    rows = np.concatenate([part.rows for part in parts])
    _, first = np.unique(keys(rows), return_index=True)
    return Designs(parts[0].arrays, rows[np.sort(first)])


def without(designs: Designs, others: Designs) -> Designs:
    """The designs that are not among the others."""
    return designs[~np.isin(keys(designs.rows), keys(others.rows))]


def keys(rows: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N, segments) row numbers -> (N,) numbers that tell designs apart: sums with random weights, modulo 2**64."""
    weights = np.random.default_rng(0).integers(1, 1 << 62, size=rows.shape[1], dtype=np.int64)
    total = np.zeros(len(rows), dtype=np.int64)
    for column, weight in zip(rows.T, weights, strict=True):
        total += column.astype(np.int64) * weight
    return total
