"""What a generator is: it is asked for candidates and told what came of each, and that is all it knows.

State: a generator's state is a function of its constructor's arguments and of the sequence of `ask` and `tell` calls.
So nothing of it is written to disk: a search is resumed by making the generator anew and repeating that sequence with
the evaluations that the archive holds. (Restoring pickled optimisers is where peers' resumed runs part from unbroken
ones.)

No design is proposed twice. A generator that keeps coming back to designs it has proposed is helped out by uniform
draws, and where these find nothing new either, by going through the whole space in order. Only when that ends is the
space exhausted, and `ask` returns fewer candidates than it was asked for.
"""

from __future__ import annotations

import inspect
import math
import random
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gas.errors import SettingError, describe
from gas.evaluation import Candidate, Evaluation, Objective
from gas.generators._walks import Sweep
from gas.registry import Registry

if TYPE_CHECKING:
    from gas.space import Realised, SearchSpace

TRIES = 20  # proposals, and then uniform draws, that may turn out to be known before the space is gone through in order


class Generator(ABC):
    """Proposes designs of one space. A subclass gives `propose`, and `learn` where it learns.

    Args:
        space: Where the designs come from; every proposal is made by its `realise` and so keeps its budgets.
        objectives: What is wanted; at least one.
        seed: Seed of everything that is drawn.

    Raises:
        SettingError: There is no objective.
    """

    def __init__(self, space: SearchSpace, objectives: tuple[Objective, ...], *, seed: int) -> None:
        if not objectives:
            raise SettingError("objectives: got none; expected at least one")
        self.space = space
        self.objectives = tuple(objectives)
        self.rng = random.Random(seed)
        self.exhausted = False
        self._sweep = Sweep(space)
        self._proposed: set[str] = set()
        self._pending: dict[int, Candidate] = {}
        self._count = 0

    @abstractmethod
    def propose(self) -> tuple[Realised, str]:
        """One design and how it was made. If it was proposed before, it is dropped and `propose` is called again."""

    def enter(self, candidate: Candidate) -> None:  # noqa: B027 (a hook, not a duty)
        """Hook: this candidate is going out. Its design is the last proposed one, or one that the base drew."""

    def learn(self, evaluation: Evaluation) -> None:  # noqa: B027 (a hook, not a duty)
        """Hook: what came of a candidate, whatever its status; called once for each."""

    def ask(self, n: int = 1) -> list[Candidate]:
        """The next `n` candidates, numbered on; fewer, perhaps none, where the space holds no further design."""
        candidates = []
        while len(candidates) < n and (found := self._fresh()) is not None:
            realised, origin = found
            candidate = Candidate(self._count, realised.architecture, origin, dict(realised.decisions))
            self._count += 1
            self._proposed.add(candidate.architecture.id)
            self._pending[candidate.number] = candidate
            self.enter(candidate)
            candidates.append(candidate)
        return candidates

    def tell(self, evaluation: Evaluation) -> None:
        """What came of a candidate: exactly once for each, in any order, at any time, whatever the status.

        Raises:
            ValueError: The candidate was not asked for here, or has been told before.
        """
        told = evaluation.candidate
        asked = self._pending.get(told.number)
        if asked is None or asked.architecture != told.architecture:
            raise ValueError(
                f"tell: got candidate {told.number} ({told.architecture.id}); "
                "expected one that was asked for here and has not been told yet"
            )
        del self._pending[told.number]
        self.learn(replace(evaluation, candidate=asked))

    def draw(self) -> tuple[Realised, str]:
        """A design whose decisions are each uniform over what is allowed at that point."""
        return self.space.realise(lambda decision, allowed: self.rng.choice(allowed)), "random"

    def losses(self, evaluation: Evaluation) -> tuple[float, ...] | None:
        """The objectives' values, all to be made small; None unless all are there and finite."""
        values = tuple(objective.loss(evaluation.metrics) for objective in self.objectives)
        return values if evaluation.ok and all(map(math.isfinite, values)) else None

    def _fresh(self) -> tuple[Realised, str] | None:
        if self.exhausted:
            return None
        for propose in [self.propose] * TRIES + [self.draw] * TRIES:
            realised, origin = propose()
            if realised.architecture.id not in self._proposed:
                return realised, origin
        # Each step of the sweep meets a known design or ends the search for a new one, so it costs no more in all than
        # the designs proposed so far (and those decided in two ways).
        while (found := self._sweep.next()) is not None:
            if found.architecture.id not in self._proposed:
                return found, "sweep"
        self.exhausted = True
        return None


def check(option: str, value: float, low: float, high: float = math.inf, *, whole: bool = False) -> None:
    """SettingError unless an option (`evolution.population`) is a number (a whole one) within both bounds."""
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        number = "a whole number" if whole else "a number"
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise SettingError(f"{option}: {describe(value, f'{number}, {bounds}')}")


GENERATORS: Registry[type[Generator]] = Registry("generator", "gas.generators")


def create(name: str, space: SearchSpace, objectives: tuple[Objective, ...], seed: int, **options: Any) -> Generator:
    """The generator registered as `name`.

    Raises:
        UnknownNameError: There is none of that name.
        SettingError: It has no such option, or the option's value is out of its range.
    """
    cls = GENERATORS.get(name)
    known = [p for p in inspect.signature(cls).parameters if p not in ("space", "objectives", "seed")]
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "no options"
            raise SettingError(f"generator {name}: {describe(option, expected, known=known)}")
    return cls(space, tuple(objectives), seed=seed, **options)
