"""What the generators built on Optuna share: a study in memory, and a sampler whose wishes are bent to what is allowed.

Optuna wants the choices of a name to be constant; what is allowed at a decision depends on those before it. So a
sampler wishes over all choices, the walk takes the nearest allowed ones, and only then is the trial filled in with what
was realised: the sampler learns from designs that exist and never sees a value that was not built.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gas.evaluation import Candidate, Evaluation, Objective
from gas.generators._walks import nearest_allowed, realise_near
from gas.generators.base import Generator

if TYPE_CHECKING:
    from gas.space import Decision, Realised, SearchSpace


class WishSampler(BaseSampler):
    """Another sampler, asked for wishes; what a trial records is `given` to it.

    Args:
        inner: The sampler that wishes.
    """

    def __init__(self, inner: BaseSampler) -> None:
        self.inner = inner
        self.given: Mapping[str, int] = {}
        self._joint: dict[str, Any] = {}
        self._asked: tuple[Study, FrozenTrial] | None = None

    def wish(self, path: str, distribution: BaseDistribution) -> int:
        """The index that the inner sampler wishes for a decision of the trial asked for last."""
        if path in self._joint:
            return self._joint[path]
        return self.inner.sample_independent(*self._asked, path, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Has the inner sampler make its joint proposal."""
        self.inner.before_trial(study, trial)
        self._asked = study, trial
        self._joint = self.inner.sample_relative(study, trial, self.inner.infer_relative_search_space(study, trial))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: Optuna is to come back for every decision."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing: Optuna would take a joint proposal as it stands."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> int:
        """The given index."""
        return self.given[param_name]

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """The inner sampler's."""
        self.inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """The inner sampler's; Optuna calls it in parallel studies only, which these are not."""
        self.inner.reseed_rng()


class OptunaGenerator(Generator):
    """An Optuna sampler as a generator.

    There is one trial for each candidate. Where the sampler's wish leads to a design that was proposed before, asking
    it again would mostly give the same, since it has learned nothing meanwhile: so the design is varied, in one
    decision at first and then in more, until it is a new one.

    Evaluations that are not `ok` are told as failed trials: they carry no values to learn from.

    Args:
        space: Where the designs come from.
        objectives: What is wanted.
        seed: Seed of what the walk draws; the sampler brings its own.
        sampler: Any Optuna sampler.
        origin: How its proposals are called.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        *,
        seed: int,
        sampler: BaseSampler,
        origin: str,
    ) -> None:
        super().__init__(space, objectives, seed=seed)
        self._sampler = WishSampler(sampler)
        self._origin = origin
        with _quiet():
            self._study = optuna.create_study(sampler=self._sampler, directions=["minimize"] * len(self.objectives))
        self._distributions = {d.path: _distribution(d) for d in space.decisions}
        self._trials: dict[int, Trial] = {}
        self._open: Trial | None = None
        self._wished: Mapping[str, Any] = {}
        self._varied = 0

    def propose(self) -> tuple[Realised, str]:
        """The sampler's wish, realised; called again for the same trial, a variation of it."""
        if self._open is not None:
            self._varied += 1
            return self._vary(1 + self._varied // 5), f"{self._origin}, varied"
        self._open = self._study.ask()
        realised = self.space.realise(self._choose)
        self._wished, self._varied = realised.decisions, 0
        return realised, self._origin

    def enter(self, candidate: Candidate) -> None:
        """Fills in the open trial with what was realised, and keeps it."""
        trial = self._study.ask() if self._open is None else self._open  # for a prototype nothing was wished
        choices = {d.path: d.choices for d in self.space.decisions}
        self._sampler.given = {path: choices[path].index(value) for path, value in candidate.decisions.items()}
        for path in candidate.decisions:
            distribution = self._distributions[path]
            if isinstance(distribution, IntDistribution):
                trial.suggest_int(path, distribution.low, distribution.high)
            else:
                trial.suggest_categorical(path, distribution.choices)
        self._trials[candidate.number], self._open = trial, None

    def learn(self, evaluation: Evaluation) -> None:
        """Ends the candidate's trial."""
        trial = self._trials.pop(evaluation.candidate.number)
        losses = self.losses(evaluation)
        if losses is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, list(losses))

    def _choose(self, decision: Decision, allowed: tuple) -> Any:
        if len(allowed) == 1:
            return allowed[0]
        wish = decision.choices[self._sampler.wish(decision.path, self._distributions[decision.path])]
        return nearest_allowed(decision, wish, allowed, self.rng)

    def _vary(self, n: int) -> Realised:
        changed = self.rng.sample(list(self._wished), min(n, len(self._wished)))
        return realise_near(
            self.space,
            wishes=lambda path: [self._wished[path]] if path in self._wished else [],
            mutates=lambda path: path in changed,
            rng=self.rng,
        )


def _distribution(decision: Decision) -> BaseDistribution:
    """Over the indices of the choices: Optuna's numbers where they have an order, its categories where not."""
    last = len(decision.choices) - 1
    return IntDistribution(0, last) if decision.ordered else CategoricalDistribution(tuple(range(last + 1)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces every new study; gas has its own progress to show."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
