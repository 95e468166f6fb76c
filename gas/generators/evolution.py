"""Multi-objective evolution: the best designs so far are mutated and crossed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gas import pareto
from gas.evaluation import Evaluation, Objective
from gas.generators._walks import realise_near
from gas.generators.base import GENERATORS, Generator, check

if TYPE_CHECKING:
    from gas.space import Realised, SearchSpace


@dataclass(frozen=True)
class Member:
    """An evaluated design of the population.

    Args:
        number: The candidate's number.
        decisions: Value per decision path.
        losses: Objectives, all to be made small.
    """

    number: int
    decisions: Mapping[str, Any]
    losses: tuple[float, ...]


@GENERATORS.register("evolution")
class EvolutionGenerator(Generator):
    """Steady-state evolution with non-dominated sorting and crowding.

    Each evaluation that is told enters the population, and the worst member leaves it; each proposal takes its parents
    by binary tournaments from whatever the population then is. So no generation has to be waited for, and workers that
    finish out of order do no harm. A child keeps its parents' value at each decision where that is still allowed,
    takes the nearest allowed one where it is not, and draws only what no parent decided.

    Source: Deb et al., NSGA-II, IEEE TEC 6(2), 2002 (sorting, crowding, tournament); steady state: Durillo et al.,
    PPSN 2008. Differs: children are mended by the space's walk instead of being penalised for their cost; ordered
    decisions mutate by one step as often as by a fresh draw.

    Args:
        space: Where the designs come from.
        objectives: What is wanted.
        seed: Seed.
        population: Most members kept.
        start: Random designs proposed before the first child.
        crossover: Share of the children that have two parents; the others are mutations of one.
        mutation: Decisions mutated per child, on average; one of them is sure for a child of one parent.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        *,
        seed: int,
        population: int = 20,
        start: int = 16,
        crossover: float = 0.7,
        mutation: float = 1.0,
    ) -> None:
        super().__init__(space, objectives, seed=seed)
        check("evolution.population", population, 2, whole=True)
        check("evolution.start", start, 0, whole=True)
        check("evolution.crossover", crossover, 0, 1)
        check("evolution.mutation", mutation, 0)
        self.population = population
        self.start = start
        self.crossover = crossover
        self.mutation = mutation
        self.members: list[Member] = []
        self._fitness: list[tuple[float, float]] = []
        self._entered = 0

    def enter(self, candidate: object) -> None:
        """Counts what went out, for the random start."""
        self._entered += 1

    def propose(self) -> tuple[Realised, str]:
        """A random design at the start or while fewer than two are known; then a child."""
        if self._entered < self.start or len(self.members) < 2:
            return self.draw()
        first = self._tournament()
        if self.rng.random() >= self.crossover:
            return self._child([first], self.rng.choice(list(first.decisions))), f"mutation of {first.number}"
        second = self._tournament(but=first)
        return self._child([first, second]), f"crossover of {first.number} and {second.number}"

    def learn(self, evaluation: Evaluation) -> None:
        """Takes a complete evaluation into the population; others leave no trace."""
        losses = self.losses(evaluation)
        if losses is None:
            return
        candidate = evaluation.candidate
        self.members.append(Member(candidate.number, candidate.decisions, losses))
        self._sort()
        if len(self.members) > self.population:
            del self.members[max(range(len(self.members)), key=self._fitness.__getitem__)]
            self._sort()

    def _sort(self) -> None:
        """Fitness per member, less is better: (front, minus the crowding distance within it)."""
        losses = np.array([m.losses for m in self.members])
        fronts = pareto.ranks(losses)
        distance = np.zeros(len(losses))
        for front in set(fronts.tolist()):
            distance[fronts == front] = pareto.crowding(losses[fronts == front])
        self._fitness = list(zip(fronts.tolist(), (-distance).tolist(), strict=True))

    def _tournament(self, but: Member | None = None) -> Member:
        """The better of two members drawn; `but` takes no part."""
        places = [i for i, m in enumerate(self.members) if m is not but]
        drawn = self.rng.sample(places, min(2, len(places)))
        return self.members[min(drawn, key=self._fitness.__getitem__)]

    def _child(self, parents: list[Member], certain: str = "") -> Realised:
        rate = self.mutation / max(len(parents[0].decisions), 1)
        return realise_near(
            self.space,
            wishes=lambda path: [p.decisions[path] for p in parents if path in p.decisions],
            mutates=lambda path: path == certain or self.rng.random() < rate,
            rng=self.rng,
        )
