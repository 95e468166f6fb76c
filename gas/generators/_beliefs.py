"""What the inquisitor knows of designs: costs exactly, and of what evaluations tell a belief with its uncertainty.

Shapes: N designs, M objectives, F features, Q scenarios.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from gas.evaluation import Constraint, Objective
from gas.generators._improvement import quantiles
from gas.generators._surrogate import Hyperparameters, Posterior, Surrogate

if TYPE_CHECKING:
    from gas.space import SearchSpace
    from gas.space.designs import Designs
    from gas.utility import Utility

KEPT = 1024  # evaluations that a belief is conditioned on, at most, so that a proposal takes no longer in a long search
QUICK = 320  # of these, for screening


class Description:
    """Designs as standardised numbers: the features of the space's array form, in logarithms.

    In logarithms because capacity has diminishing returns and its factors multiply: a sum over blocks of an option is
    then depth plus option.

    Args:
        space: The space.
        drawn: Designs whose features say what is usual.
    """

    def __init__(self, space: SearchSpace, drawn: Designs) -> None:
        self._table = space.arrays.features
        raw = self._raw(drawn)
        self._middle, spread = raw.mean(axis=0), raw.std(axis=0)
        self._used = spread > 1e-9
        self._middle, self._spread = self._middle[self._used], spread[self._used]

    @property
    def names(self) -> tuple[str, ...]:
        """What each feature is."""
        return tuple(name for name, used in zip(self._table.names, self._used, strict=True) if used)

    def __call__(self, designs: Designs) -> NDArray[np.float64]:
        """(N, F) features, standardised."""
        return (self._raw(designs)[:, self._used] - self._middle) / self._spread

    def _raw(self, designs: Designs) -> NDArray[np.float64]:
        values = self._table.of(designs.rows).values
        return np.copysign(np.log1p(np.abs(values)), values)


class Beliefs:
    """Models of everything that is uncertain and wanted, conditioned on what was told.

    Args:
        space: Says which costs are exact.
        objectives: What is wanted.
        requirements: Bounds on metrics that only an evaluation tells.
        utility: What the one objective is worked out from, where it is a utility.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        requirements: Sequence[Constraint] = (),
        utility: Utility | None = None,
    ) -> None:
        self._space, self._objectives, self._utility = space, tuple(objectives), utility
        self._exact = space.exact_metrics
        self._requirements = tuple(c for c in requirements if c.metric not in self._exact)
        wanted = list(utility.metrics) if utility else [o.metric for o in self._objectives]
        wanted += [c.metric for c in self._requirements]
        self.uncertain = tuple(dict.fromkeys(name for name in wanted if name not in self._exact))
        self._models: dict[str, Surrogate] = {}
        self._quick: dict[str, Surrogate] = {}
        self._starts: dict[str, Hyperparameters] = {}
        self.settled: tuple[int, ...] = ()
        """Objectives that are uncertain and yet known well enough to be taken at their means."""
        self._fears: Surrogate | None = None
        self._fitted_on = 0

    def learn(
        self,
        features: NDArray[np.float64],
        told: Mapping[str, NDArray[np.float64]],
        order: NDArray[np.integer],
        rng: np.random.Generator,
    ) -> None:
        """Conditions the models on evaluations.

        Args:
            features: (N, F) of the designs that were evaluated.
            told: (N,) values of each uncertain metric.
            order: (N,) numbers of the designs, the most worth remembering first.
            rng: Draws those that hyperparameters are fitted on.
        """
        # Hyperparameters change little once there are many evaluations, and fitting them takes the longest.
        steps = 0 if self._fitted_on and len(features) < 1.1 * self._fitted_on else 40 if self._fitted_on else 80
        if steps:
            self._fitted_on = len(features)
        for name in self.uncertain:
            kept = order[np.isfinite(told[name][order])][:KEPT]
            if len(kept) < 2:
                continue
            start, needed = self._starts.get(name), steps
            if start is not None and len(start.scales) != features.shape[1]:
                start, needed = None, 80  # the description has a further number
            model = Surrogate(features[kept], told[name][kept], start=start, steps=needed, rng=rng)
            few, found = kept[:QUICK], model.hyperparameters
            self._models[name] = self._quick[name] = model
            self._starts[name] = found
            if len(few) < len(kept):
                self._quick[name] = Surrogate(features[few], told[name][few], start=found, steps=0)

    def doubts(self, features: NDArray[np.float64]) -> dict[int, float]:
        """Per objective that is not known exactly: the deviation of what is believed, as a share of that of the means.

        Args:
            features: (N, F) of designs such as will be asked about.
        """
        if self._utility:
            return {0: math.inf} if self.uncertain else {}
        found = {}
        for number, objective in enumerate(self._objectives):
            if objective.metric in self._models:
                believed = self._models[objective.metric].posterior(features)
                found[number] = float(np.median(believed.deviation) / (believed.mean.std() + 1e-12))
            elif objective.metric not in self._exact:
                found[number] = math.inf
        return found

    def fear(self, complete: NDArray[np.float64], failed: NDArray[np.float64]) -> None:
        """Learns where evaluations come to nothing, from the features of those that did and of those that did not."""
        features = np.concatenate([failed, complete])[: KEPT // 2]
        came = np.arange(len(features)) >= len(failed)
        self._fears = Surrogate(features, came.astype(float), steps=20)

    def hope(self, features: NDArray) -> NDArray[np.float64]:
        """(N,) about the chance that an evaluation comes to something; never nothing."""
        return np.ones(len(features)) if self._fears is None else np.clip(self._fears.mean(features), 0.02, 1.0)

    def rough(self, designs: Designs, features: NDArray, deviations: Mapping[str, float]) -> NDArray[np.float64]:
        """(Q, N, M) losses for screening: means from the evaluations most worth remembering, one deviation for all."""
        beliefs = {n: (m.mean(features), np.full(len(features), deviations[n])) for n, m in self._quick.items()}
        return self._losses(designs, beliefs)

    def rough_chance(self, features: NDArray, deviations: Mapping[str, float]) -> NDArray[np.float64]:
        """(N,) the chance that all requirements are met, for screening; see `chance`."""
        return self._chance({n: (m.mean(features), deviations[n]) for n, m in self._quick.items()}, len(features))

    def chance(self, posteriors: Mapping[str, Posterior]) -> NDArray[np.float64]:
        """(N,) the chance that all requirements are met, as a share of the greatest one among these designs."""
        count = len(next(iter(posteriors.values())).mean)
        return self._chance({n: (p.mean, p.deviation) for n, p in posteriors.items()}, count)

    def posteriors(self, features: NDArray) -> dict[str, Posterior]:
        """What is believed of each uncertain metric."""
        return {name: model.posterior(features) for name, model in self._models.items()}

    def losses(self, designs: Designs, posteriors: Mapping[str, Posterior]) -> NDArray[np.float64]:
        """(Q, N, M) equally likely losses; infinite in scenarios that miss a requirement."""
        return self._losses(designs, {n: (p.mean, p.deviation) for n, p in posteriors.items()})

    def expected(self, designs: Designs, features: NDArray) -> NDArray[np.float64]:
        """(N, M) losses at the means."""
        none = np.zeros(len(features))
        return self._losses(designs, {n: (m.mean(features), none) for n, m in self._models.items()}, at_means=True)[0]

    def _chance(self, beliefs: Mapping[str, tuple[NDArray, NDArray | float]], count: int) -> NDArray[np.float64]:
        # In logarithms, so that far from the bounds there is still a nearer and a farther; both ends as independent.
        total = np.zeros(count)
        for bound in self._requirements:
            if bound.metric in beliefs:
                mean, deviation = beliefs[bound.metric]
                for distance in (mean - bound.low, bound.high - mean):
                    total += log_ndtr(distance / np.maximum(deviation, 1e-12))
        return np.exp(np.maximum(total - total.max(initial=-math.inf), -700.0))

    def _losses(
        self, designs: Designs, beliefs: Mapping[str, tuple[NDArray, NDArray]], at_means: bool = False
    ) -> NDArray[np.float64]:
        exact = self._space.exact_costs(designs)
        sure = {self._objectives[k].metric for k in self.settled} - {c.metric for c in self._requirements}
        scenarios = {}
        for number, (name, (mean, spread)) in enumerate(beliefs.items()):
            values = mean[None] if at_means or name in sure else quantiles(mean, spread)
            # The scenarios of two metrics are paired in different orders, so that one does not decide the other.
            scenarios[name] = np.roll(values[:: 1 - 2 * (number % 2)], number // 2 + number, axis=0)
        metrics = {**{n: v.astype(float)[None] for n, v in exact.items()}, **scenarios}
        if self._utility:
            columns = [-self._utility(metrics)]
        else:
            columns = [-metrics[o.metric] if o.maximise else metrics[o.metric] for o in self._objectives]
        shape = np.broadcast_shapes(*(c.shape for c in columns), *(s.shape for s in scenarios.values()))
        losses = np.stack([np.broadcast_to(c, shape) for c in columns], axis=-1).astype(float)
        losses[~np.isfinite(losses)] = math.inf
        missed = np.zeros(shape, dtype=bool)
        for bound in self._requirements:
            if bound.metric in metrics:
                values = metrics[bound.metric]
                missed |= (values < bound.low) | (values > bound.high)
        doubted = [k for k in range(len(columns)) if k not in self.settled and self._doubtful(k)]
        for column in doubted or range(len(columns)):
            losses[..., column][missed] = math.inf
        return losses

    def _doubtful(self, number: int) -> bool:
        return bool(self._utility) or self._objectives[number].metric not in self._exact
