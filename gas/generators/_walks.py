"""Ways of choosing that generators share: near given values, and all designs in turn."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gas.space import Decision, Realised, SearchSpace


class Sweep:
    """All designs of a space in order, like an odometer whose wheels are the decisions met on the way."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._wheels: list[int] | None = []

    def next(self) -> Realised | None:
        """The next design; None behind the last."""
        wheels = self._wheels
        if wheels is None:
            return None
        sizes: list[int] = []

        def choose(decision: Decision, allowed: tuple) -> Any:
            if len(sizes) == len(wheels):
                wheels.append(0)
            sizes.append(len(allowed))
            return allowed[wheels[len(sizes) - 1]]

        realised = self._space.realise(choose)
        while wheels and wheels[-1] + 1 == sizes[len(wheels) - 1]:
            wheels.pop()
        if wheels:
            wheels[-1] += 1
        else:
            self._wheels = None
        return realised


def realise_near(
    space: SearchSpace, wishes: Callable[[str], Sequence], mutates: Callable[[str], bool], rng: random.Random
) -> Realised:
    """A design whose decisions are as near to what is wished as the budgets allow.

    Args:
        space: Where it comes from.
        wishes: Path -> values, one of which is drawn; none where any value will do.
        mutates: Path -> whether the decision departs from the wish.
        rng: For what is drawn.
    """

    def choose(decision: Decision, allowed: tuple) -> Any:
        values = wishes(decision.path)
        if not values:
            return rng.choice(allowed)
        value = nearest_allowed(decision, rng.choice(values), allowed, rng)
        return another_allowed(decision, value, allowed, rng) if mutates(decision.path) else value

    return space.realise(choose)


def nearest_allowed(decision: Decision, wish: Any, allowed: tuple, rng: random.Random) -> Any:
    """`wish` where it is allowed; else the nearest allowed choice in order; without an order, any allowed one.

    Two that are equally near are drawn between.
    """
    if wish in allowed:
        return wish
    if not decision.ordered:
        return rng.choice(allowed)
    place = decision.choices.index(wish)
    distance = {value: abs(decision.choices.index(value) - place) for value in allowed}
    least = min(distance.values())
    return rng.choice([value for value in allowed if distance[value] == least])


def another_allowed(decision: Decision, value: Any, allowed: tuple, rng: random.Random) -> Any:
    """An allowed choice other than `value`, where there is one.

    Where the choices have an order it is a neighbour of `value` as often as any.
    """
    others = [v for v in allowed if v != value]
    if not others:
        return value
    if decision.ordered and rng.random() < 0.5:
        place = allowed.index(value)
        others = [*allowed[max(place - 1, 0) : place], *allowed[place + 1 : place + 2]]
    return rng.choice(others)
