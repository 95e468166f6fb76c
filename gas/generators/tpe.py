"""Tree-structured Parzen estimator: densities of good and of other designs, and where their quotient is high."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.samplers import TPESampler

from gas.evaluation import Objective
from gas.generators._optuna import OptunaGenerator
from gas.generators.base import GENERATORS, check

if TYPE_CHECKING:
    from gas.space import SearchSpace


@GENERATORS.register("tpe")
class TpeGenerator(OptunaGenerator):
    """Optuna's TPE over the decisions that all designs share, jointly; conditional ones one by one.

    Candidates still out count as bad ones meanwhile (Optuna's constant liar), so that parallel proposals part.

    Source: Bergstra et al., NeurIPS 2011; several objectives: Ozaki et al., GECCO 2020; code: Optuna.
    Differs: `multivariate` is on. Optuna turns it off for several objectives; decision by decision it took three times
    as long here and its fronts were about as good as random ones (experiments/generators).

    Args:
        space: Where the designs come from.
        objectives: What is wanted.
        seed: Seed.
        start: Random designs proposed before the model is used.
        draws: Designs drawn from the density of the good ones for each proposal.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        *,
        seed: int,
        start: int = 16,
        draws: int = 24,
    ) -> None:
        check("tpe.start", start, 1, whole=True)
        check("tpe.draws", draws, 1, whole=True)
        sampler = TPESampler(seed=seed, n_startup_trials=start, n_ei_candidates=draws, multivariate=True)
        super().__init__(space, objectives, seed=seed, sampler=sampler, origin="tpe")
