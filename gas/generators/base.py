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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gas.errors import SettingError, describe
from gas.evaluation import Candidate, Constraint, Evaluation, Objective
from gas.generators._walks import Sweep, realise_near
from gas.registry import Registry

if TYPE_CHECKING:
    from gas.architecture import Architecture
    from gas.space import Realised, SearchSpace
    from gas.utility import Utility

TRIES = 20  # proposals, and then uniform draws, that may turn out to be known before the space is gone through in order


class Generator(ABC):
    """Proposes designs of one space. A subclass gives `propose`, and `learn` where it learns.

    Args:
        space: Where the designs come from; every proposal is made by its `realise` and so keeps its budgets.
        objectives: What is wanted; at least one.
        seed: Seed of everything that is drawn.

    Attributes:
        probes: Names of the readings of built designs that it learns from: a search takes them at every evaluation.
        requirements: Bounds on metrics that only an evaluation tells, for generators that can bear them in mind.
        utility: What the objective is worked out from, where it is a utility; None otherwise.

    Raises:
        SettingError: There is no objective.
    """

    probes: tuple[str, ...] = ()
    requirements: tuple[Constraint, ...] = ()
    utility: Utility | None = None

    def __init__(self, space: SearchSpace, objectives: tuple[Objective, ...], *, seed: int) -> None:
        if not objectives:
            raise SettingError("objectives: got none; expected at least one")
        self.space = space
        self.objectives = tuple(objectives)
        self.rng = random.Random(seed)
        self.exhausted = False
        self._prototypes: list[tuple[str, Mapping[str, Any]]] = []
        self._next_prototype = 0
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

    def start_from(self, prototypes: Mapping[str, Architecture]) -> None:
        """Designs to propose first, by name; one outside the bounds is moved to what is near it and within them.

        Raises:
            DesignError: One is no member of the space; says where it departs.
        """
        self._prototypes += [(name, self.space.decode(design)) for name, design in prototypes.items()]

    @property
    def first_batch(self) -> int:
        """Designs that it proposes before what it is told bears on what it proposes: prototypes, random ones."""
        return len(self._prototypes)

    def draw(self) -> tuple[Realised, str]:
        """A design whose decisions are each uniform over what is allowed at that point."""
        return self.space.realise(lambda decision, allowed: self.rng.choice(allowed)), "random"

    def losses(self, evaluation: Evaluation) -> tuple[float, ...] | None:
        """The objectives' values, all to be made small; None unless all are there and finite."""
        values = tuple(objective.loss(evaluation.metrics) for objective in self.objectives)
        return values if evaluation.ok and all(map(math.isfinite, values)) else None

    def _near(self, name: str, decisions: Mapping[str, Any]) -> tuple[Realised, str]:
        realised = realise_near(
            self.space,
            wishes=lambda path: [decisions[path]] if path in decisions else [],
            mutates=lambda path: False,
            rng=self.rng,
        )
        return realised, name if realised.decisions == decisions else f"near {name}"

    def _fresh(self) -> tuple[Realised, str] | None:
        if self.exhausted:
            return None
        while self._next_prototype < len(self._prototypes):
            realised, origin = self._near(*self._prototypes[self._next_prototype])
            self._next_prototype += 1
            if realised.architecture.id not in self._proposed:
                return realised, origin
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


def check_switch(option: str, value: object) -> None:
    """SettingError unless an option is true or false."""
    if not isinstance(value, bool):
        raise SettingError(f"{option}: {describe(value, 'true or false')}")


GENERATORS: Registry[type[Generator]] = Registry("generator", "gas.generators")


def create(
    name: str,
    space: SearchSpace,
    objectives: tuple[Objective, ...],
    seed: int,
    *,
    requirements: Sequence[Constraint] = (),
    utility: Utility | None = None,
    prototypes: Mapping[str, Architecture] | None = None,
    **options: Any,
) -> Generator:
    """The generator registered as `name`.

    Args:
        name: Registered name.
        space: Where the designs come from.
        objectives: What is wanted.
        seed: Seed of everything that is drawn.
        requirements: Bounds on metrics that only an evaluation tells.
        utility: What the objective is worked out from, where it is a utility.
        prototypes: Designs to propose first, by name.
        **options: The generator's own.

    Raises:
        UnknownNameError: There is none of that name.
        SettingError: It has no such option, or the option's value is out of its range.
        DesignError: A prototype is no member of the space.
    """
    cls = GENERATORS.get(name)
    known = [p for p in inspect.signature(cls).parameters if p not in ("space", "objectives", "seed")]
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "no options"
            raise SettingError(f"generator {name}: {describe(option, expected, known=known)}")
    made = cls(space, tuple(objectives), seed=seed, **options)
    made.requirements, made.utility = tuple(requirements), utility
    made.start_from(prototypes or {})
    return made
