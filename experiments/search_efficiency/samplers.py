"""The samplers that are compared, behind one interface: asked for choice numbers, told losses and violations.

A sampler is named `KIND-NAME`, and options may follow, which go to its constructor: `gas-evolution:population=40`,
`optuna-tpe:multivariate=true+group=true`, `pymoo-nsga2:pop_size=20`. Kinds: `gas` (any of its generators), `optuna`,
`pymoo` and `ax` (of requirements-peers.txt). Without a kind: `random` and `random-feasible`.

Only `gas` knows the bounds beforehand, and only what a generator of gas makes of them. The others are given macs and
params twice, as objectives and as constraints, and are answered in full about infeasible designs too.

Shapes: n designs asked for at once, D decisions.
"""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.generators import create
from gas.space import SearchSpace
from gas.space.designs import Designs


class Sampler(ABC):
    """Proposes designs as choice numbers.

    Args:
        space: Where they come from.
        objectives: What is wanted: something unknown first, then macs and params.
        seed: Seed of everything that is drawn.
    """

    def __init__(self, space: SearchSpace, objectives: tuple[Objective, ...], seed: int) -> None:
        self.space, self.objectives, self.seed = space, objectives, seed

    @abstractmethod
    def ask(self, n: int) -> NDArray[np.int64]:
        """(n, D) choice numbers, in the order of `space.decisions`; what is said of a decision that does not exist is
        not read. Fewer rows where there is nothing left to propose."""

    def tell(self, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:  # noqa: B027
        """What came of the designs asked for last, in their order.

        Args:
            losses: (n, 3) objectives, all to be made small.
            violations: (n, 2) how far macs and params are above their bounds, as shares of these; below them negative.
        """

    def verify(self, designs: Designs) -> None:  # noqa: B027
        """Hook, not timed: the designs that the choice numbers asked for last were taken to mean."""


class RandomSampler(Sampler):
    """Uniform draws without repeats.

    Args:
        space: Where they come from.
        objectives: What is wanted; not read.
        seed: Seed of the draws.
        feasible: Draw from the designs within the bounds on macs and params, else from all.
    """

    BLOCK, VAIN = 256, 100

    def __init__(
        self, space: SearchSpace, objectives: tuple[Objective, ...], seed: int, *, feasible: bool = False
    ) -> None:
        super().__init__(space, objectives, seed)
        self._rng, self._feasible = np.random.default_rng(seed), feasible
        self._ready: deque[NDArray[np.int64]] = deque()
        self._seen: set[bytes] = set()

    def ask(self, n: int) -> NDArray[np.int64]:
        """The next draws."""
        vain = 0
        while len(self._ready) < n and vain < self.VAIN:
            before = len(self._seen)
            if self._feasible:
                drawn = self.space.sample_feasible(self.BLOCK, self._rng)
            else:
                drawn = self.space.designs(architectures=self.space.sample(self.BLOCK, self._rng))
            for codes in drawn.codes.astype(np.int64):
                if codes.tobytes() not in self._seen:
                    self._seen.add(codes.tobytes())
                    self._ready.append(codes)
            vain = vain + 1 if len(self._seen) == before else 0
        found = [self._ready.popleft() for _ in range(min(n, len(self._ready)))]
        return np.array(found, dtype=np.int64).reshape(len(found), len(self.space.decisions))


class GasSampler(Sampler):
    """A generator of gas.

    Args:
        space: Where its designs come from.
        objectives: What is wanted.
        seed: Its seed.
        name: Its registered name.
        **options: Its own.
    """

    def __init__(
        self, space: SearchSpace, objectives: tuple[Objective, ...], seed: int, *, name: str, **options: Any
    ) -> None:
        super().__init__(space, objectives, seed)
        self._generator = create(name, space, objectives, seed, **options)
        self._asked: list[Candidate] = []
        self.probes: Mapping[str, Sequence[Mapping[str, float]]] = {}
        """What probes found, by design id, for problems that have built designs."""

    def ask(self, n: int) -> NDArray[np.int64]:
        """The generator's candidates."""
        self._asked = self._generator.ask(n)
        return np.array([_codes(self.space, c) for c in self._asked]).reshape(-1, len(self.space.decisions))

    def tell(self, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """As a search tells it: an infeasible design has its costs and no accuracy."""
        for candidate, row, over in zip(self._asked, losses, violations, strict=True):
            values = {o.metric: -v if o.maximise else v for o, v in zip(self.objectives, row.tolist(), strict=True)}
            ok = bool((over <= 0).all())
            if not ok:
                del values[self.objectives[0].metric]
            probes = tuple(self.probes.get(candidate.architecture.id, ()))
            self._generator.tell(Evaluation(candidate, Status.OK if ok else Status.INFEASIBLE, values, probes=probes))

    def verify(self, designs: Designs) -> None:
        """Choice numbers and candidates are the same designs."""
        assert [c.architecture for c in self._asked] == list(designs), "choice numbers and architectures differ"


class OptunaSampler(Sampler):
    """A sampler of Optuna, define-by-run: a trial suggests the decisions that exist for it and no others.

    Args:
        space: Where the designs come from.
        objectives: What is wanted; three directions of one study.
        seed: The sampler's seed.
        name: `tpe`, `nsga2`, `nsga3`, `gp`, `qmc`.
        **options: The sampler's own.
    """

    def __init__(
        self, space: SearchSpace, objectives: tuple[Objective, ...], seed: int, *, name: str, **options: Any
    ) -> None:
        import optuna
        from optuna import samplers
        from optuna.exceptions import ExperimentalWarning

        super().__init__(space, objectives, seed)
        classes = {
            "tpe": samplers.TPESampler,
            "nsga2": samplers.NSGAIISampler,
            "nsga3": samplers.NSGAIIISampler,
            "gp": samplers.GPSampler,
            "qmc": samplers.QMCSampler,
        }
        logging.getLogger("optuna").setLevel(logging.ERROR)
        warnings.simplefilter("ignore", ExperimentalWarning)
        self._study = optuna.create_study(
            sampler=classes[name](seed=seed, **options), directions=["minimize"] * len(objectives)
        )
        self._asked: list[Any] = []

    def ask(self, n: int) -> NDArray[np.int64]:
        """New trials."""
        self._asked, found = [], []
        for _ in range(n):
            trial, codes = self._study.ask(), np.full(len(self.space.decisions), -1)
            places = {d.path: number for number, d in enumerate(self.space.decisions)}

            def choose(decision: Any, allowed: tuple, trial: Any = trial, codes: Any = codes, at: Any = places) -> Any:
                last = len(decision.choices) - 1
                if decision.ordered:
                    code = trial.suggest_int(decision.path, 0, last)
                else:
                    code = trial.suggest_categorical(decision.path, tuple(range(last + 1)))
                codes[at[decision.path]] = code
                # Depth 0 is not possible after everything: then the nearest, as `Problem.decode` takes it.
                return min(allowed, key=lambda value: abs(decision.choices.index(value) - code))

            self.space.realise(choose, feasible=False)
            self._asked.append(trial)
            found.append(codes)
        return np.array(found)

    def tell(self, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """Ends the trials."""
        for trial, row, over in zip(self._asked, losses, violations, strict=True):
            for number, value in enumerate(over):
                trial.set_constraint(f"bound_{number}", float(value))
            self._study.tell(trial, row.tolist())


class PymooSampler(Sampler):
    """An algorithm of pymoo over integers, a generation at a time; population and operators as in its manual.

    Args:
        space: Where the designs come from.
        objectives: What is wanted.
        seed: The algorithm's seed.
        name: `nsga2` or `sms`.
        **options: The algorithm's own.
    """

    def __init__(
        self, space: SearchSpace, objectives: tuple[Objective, ...], seed: int, *, name: str, **options: Any
    ) -> None:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.algorithms.moo.sms import SMSEMOA
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling

        super().__init__(space, objectives, seed)
        most = np.array([len(d.choices) - 1 for d in space.decisions])
        self._problem = Problem(len(most), n_obj=len(objectives), n_ieq_constr=2, xl=0 * most, xu=most, vtype=int)
        self._algorithm = {"nsga2": NSGA2, "sms": SMSEMOA}[name](
            sampling=IntegerRandomSampling(),
            crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
            **options,
        )
        self._algorithm.setup(self._problem, termination=("n_gen", 1_000_000), seed=seed, verbose=False)
        self._generation: Any = None
        self._next = 0
        self._told: list[tuple[NDArray, NDArray]] = []

    def ask(self, n: int) -> NDArray[np.int64]:
        """The next of the generation; where it ends, fewer than `n`."""
        if self._generation is None:
            self._generation, self._next, self._told = self._algorithm.ask(), 0, []
        first, self._next = self._next, min(self._next + n, len(self._generation))
        return self._generation.get("X")[first : self._next].astype(np.int64)

    def tell(self, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """Kept until the whole generation is there."""
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        self._told += zip(losses, violations, strict=True)
        if len(self._told) == len(self._generation):
            values, over = (np.array(part) for part in zip(*self._told, strict=True))
            Evaluator().eval(StaticProblem(self._problem, F=values, G=over), self._generation)
            self._algorithm.tell(infills=self._generation)
            self._generation = None


def make(label: str, space: SearchSpace, objectives: tuple[Objective, ...], seed: int) -> Sampler:
    """The sampler that a label names (see the head of this file)."""
    head, _, tail = label.partition(":")
    options = {key: yaml.safe_load(text) for key, _, text in (part.partition("=") for part in tail.split("+")) if key}
    if head in ("random", "random-feasible"):
        return RandomSampler(space, objectives, seed, feasible=head == "random-feasible", **options)
    kind, _, name = head.partition("-")
    kinds = {"gas": GasSampler, "optuna": OptunaSampler, "pymoo": PymooSampler}
    if kind == "ax":
        from ax_sampler import AxSampler

        kinds["ax"] = AxSampler
    if kind not in kinds:
        raise SystemExit(f"sampler: got {label!r}; expected random, random-feasible or one of {', '.join(kinds)} and -")
    return kinds[kind](space, objectives, seed, name=name, **options)


def _codes(space: SearchSpace, candidate: Candidate) -> list[int]:
    decided = candidate.decisions
    return [d.choices.index(decided[d.path]) if d.path in decided else -1 for d in space.decisions]
