"""Ax (its own choice of method for several objectives) as a sampler; needs requirements-peers.txt.

Ax has no decisions that exist only sometimes, so it is given all of them, and those that do not exist are not read.
A bound on a metric that is an objective too is a threshold to Ax: what lies beyond is worth nothing to it.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np
from numpy.typing import NDArray
from samplers import Sampler

from gas.evaluation import Objective
from gas.space import SearchSpace


class AxSampler(Sampler):
    """Ax's client, asked and told.

    Args:
        space: Where the designs come from.
        objectives: What is wanted: something unknown first, then macs and params.
        seed: Seed of Ax and of torch, which it draws from.
        name: `default`: what Ax chooses by itself.
    """

    def __init__(self, space: SearchSpace, objectives: tuple[Objective, ...], seed: int, *, name: str) -> None:
        import torch

        warnings.simplefilter("ignore")
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        if name != "default":
            raise SystemExit(f"sampler: got ax-{name}; expected ax-default")
        super().__init__(space, objectives, seed)
        logging.disable(logging.INFO)
        torch.manual_seed(seed)
        self._client = Client(random_seed=seed)
        parameters = []
        for number, decision in enumerate(space.decisions):
            last = len(decision.choices) - 1
            if decision.ordered and last > 1:
                parameters.append(RangeParameterConfig(name=f"d{number}", parameter_type="int", bounds=(0, last)))
            else:
                values = list(range(last + 1))
                parameters.append(
                    ChoiceParameterConfig(
                        name=f"d{number}", parameter_type="int", values=values, is_ordered=decision.ordered
                    )
                )
        self._client.configure_experiment(parameters=parameters)
        # In shares of the bounds, so that a bound is 0.
        self._client.configure_optimization(
            objective="accuracy, -macs, -params", outcome_constraints=["macs <= 0", "params <= 0"]
        )
        self._asked: list[int] = []

    def ask(self, n: int) -> NDArray[np.int64]:
        """Ax's next trials."""
        trials = self._client.get_next_trials(max_trials=n)
        self._asked = list(trials)
        decisions = range(len(self.space.decisions))
        return np.array([[trial[f"d{d}"] for d in decisions] for trial in trials.values()], dtype=np.int64)

    def tell(self, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """Completes the trials."""
        for trial, row, over in zip(self._asked, losses, violations, strict=True):
            values = {"accuracy": float(-row[0]), "macs": float(over[0]), "params": float(over[1])}
            self._client.complete_trial(trial_index=trial, raw_data=values)
