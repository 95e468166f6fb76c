"""NSGA-II as Optuna has it: generation by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.samplers import NSGAIISampler

from gas.evaluation import Objective
from gas.generators._optuna import OptunaGenerator
from gas.generators.base import GENERATORS, check

if TYPE_CHECKING:
    from gas.space import SearchSpace


@GENERATORS.register("nsga2")
class Nsga2Generator(OptunaGenerator):
    """Optuna's NSGA-II: a generation is bred from the best of all before it.

    Optuna crosses only decisions that all evaluated designs share; conditional ones it draws at random, so in spaces
    with many branches `evolution`, which hands those down too, is the better choice.

    Source: Deb et al., IEEE TEC 6(2), 2002; code: Optuna. Differs: the population is 20, not 50, because a search here
    sees hundreds of designs rather than thousands; children are moved to the nearest feasible design.

    Args:
        space: Where the designs come from.
        objectives: What is wanted.
        seed: Seed.
        population: Evaluated designs that make a generation.
        crossover: Share of the children that have two parents.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        *,
        seed: int,
        population: int = 20,
        crossover: float = 0.9,
    ) -> None:
        check("nsga2.population", population, 2, whole=True)
        check("nsga2.crossover", crossover, 0, 1)
        sampler = NSGAIISampler(seed=seed, population_size=population, crossover_prob=crossover)
        super().__init__(space, objectives, seed=seed, sampler=sampler, origin="nsga2")
