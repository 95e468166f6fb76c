"""Generative architecture search: a generator that an inquisitor corrects, in the open."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gas import pareto
from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.generators._acquisition import Acquisition, BestSoFar, KnownCosts, Weighted, most_costs
from gas.generators._beliefs import Beliefs, Description
from gas.generators._guidance import Guidance
from gas.generators._policy import Policy
from gas.generators._pool import Pool, joined, keys, without
from gas.generators._surrogate import Posterior
from gas.generators.base import GENERATORS, Generator, check, check_switch
from gas.probes import PROBES
from gas.space.designs import Designs

if TYPE_CHECKING:
    from gas.architecture import Architecture
    from gas.space import Realised, SearchSpace

USUAL = 4096  # designs drawn once: what is usual in the space
SHORT = 1500  # designs whose uncertainty is worked out exactly, per round
ELITE = 600  # designs that the policy moves towards and that have children, per round
GUIDED = 400  # designs per round that differ from the best where probes point
TOGETHER = 4  # designs that miss a requirement and share a rank
FAILURES = 3  # evaluations that came to nothing, before it is asked where they do
SETTLED = 0.3  # deviation over spread, below which all but the most doubtful objective are taken at their means
SURE = 256  # designs that this is looked at on
MARGIN = 1.5  # gains up to so much of what was reached so far are told apart


@GENERATORS.register("inquisitor")
class InquisitorGenerator(Generator):
    """A parameterised generator and an inquisitor that learns from evaluations and corrects it.

    The generator writes designs decision by decision with a probability for each choice (`Policy`), given the choice
    before it and the budgets that are left. The inquisitor holds a belief about what evaluations tell (a Gaussian
    process over structural features) and knows costs exactly. Each round it screens a hundred thousand and more
    designs that the generator writes, moves the generator's parameters towards those that it expects most of, and
    proposes the best of all by expected hypervolume improvement, which is exact in the costs.

    Source: Wong et al., arXiv 1809.05989 (generator and inquisitor) and arXiv 2308.11421 (TurboViT).
    Differs: neither publishes code or says what the inquisitor computes; here it is a Gaussian process, several
    objectives are kept apart instead of being summed up, and requirements hold by construction.

    Args:
        space: Where the designs come from.
        objectives: What is wanted.
        seed: Seed.
        start: Random designs proposed before the first belief.
        batch: Proposals made of one round, at most; fewer while little is known.
        screened: Designs written and screened per round; some fifth of them come twice.
        surrogate: Believe anything at all; without it, children of the best designs are proposed as they come.
        masking: Write only what keeps to the budgets.
        probes: Use what probes of built designs found.
        from_prototypes: Begin at the designs given as prototypes; without it they are forgotten.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: tuple[Objective, ...],
        *,
        seed: int,
        start: int = 12,
        batch: int = 16,
        screened: int = 125_000,
        surrogate: bool = True,
        masking: bool = True,
        probes: bool = True,
        from_prototypes: bool = True,
    ) -> None:
        super().__init__(space, objectives, seed=seed)
        check("inquisitor.start", start, 2, whole=True)
        check("inquisitor.batch", batch, 1, whole=True)
        check("inquisitor.screened", screened, 1000, whole=True)
        switches = {"surrogate": surrogate, "masking": masking, "probes": probes, "from_prototypes": from_prototypes}
        for name, value in switches.items():
            check_switch(f"inquisitor.{name}", value)
        self.start, self.batch, self.screened = start, batch, screened
        self._surrogate, self._masking, self._use_prototypes = surrogate, masking, from_prototypes
        self.probes = tuple(PROBES.names()) if probes else ()
        self._numbers = np.random.default_rng([seed, 1809])
        self._pool = Pool(space, feasible=masking, rng=self._numbers)
        self._policy = Policy(space.decisions)
        self._usual = self._pool.anywhere(USUAL)
        self._describe = Description(space, self._usual)
        self._places = {
            d.path: (n, {_key(c): k for k, c in enumerate(d.choices)}) for n, d in enumerate(space.decisions)
        }
        self._guidance = Guidance(space, self._usual, self._pool, self._numbers)
        self._codes: dict[int, NDArray[np.int64]] = {}  # of every candidate that went out
        self._told: dict[int, Mapping[str, float]] = {}
        self._beginning: deque[NDArray] | None = None
        self._refused: dict[int, Mapping[str, float]] = {}
        self._failed: list[int] = []
        self._queue: deque[tuple[NDArray, str]] = deque()
        self._wanted = 1
        self._beliefs: Beliefs | None = None
        self._reference: NDArray | None = None
        self._rounds = 0
        self._words: dict[int, str] = {}  # how guided designs were made, by their keys

    @property
    def first_batch(self) -> int:
        """Prototypes and random designs."""
        return max(self.start, super().first_batch)

    def start_from(self, prototypes: Mapping[str, Architecture]) -> None:
        """See Generator; the policy begins at them too."""
        if not self._use_prototypes or not prototypes:
            return
        super().start_from(prototypes)
        codes = np.array([self._coded(self.space.decode(design)) for design in prototypes.values()])
        self._policy.move(codes, np.arange(len(codes)))

    def ask(self, n: int = 1) -> list[Candidate]:
        """See Generator; `n` candidates at once are chosen to complement one another."""
        self._wanted = max(n, 1)
        return super().ask(n)

    def propose(self) -> tuple[Realised, str]:
        """A random design at the start; then the next of the round's."""
        if len(self._codes) < self.start or len(self._told) < 2:
            return self._first()
        if not self._queue:
            self._queue.extend(self._round(self._size()))
        if not self._queue:
            return self.draw()
        codes, origin = self._queue.popleft()
        return self._realised(codes), origin

    def enter(self, candidate: Candidate) -> None:
        """Remembers what went out."""
        self._codes[candidate.number] = self._coded(candidate.decisions)

    def learn(self, evaluation: Evaluation) -> None:
        """Keeps a complete evaluation; of a refused design what it costs, of others that they failed."""
        number = evaluation.candidate.number
        if evaluation.status is Status.INFEASIBLE:
            self._refused[number] = dict(evaluation.metrics)
        elif self.losses(evaluation) is None:
            self._failed.append(number)
        else:
            self._told[number] = dict(evaluation.metrics)
            if self.probes:
                self._guidance.note(number, evaluation.probes)

    def _first(self) -> tuple[Realised, str]:
        """One of the designs to begin with: drawn uniformly, not decision by decision, which favours small branches."""
        if self._beginning is None:
            self._beginning = deque(self._pool.uniform(self.start))
        if not self._beginning:
            return self.draw()
        return self._realised(self._beginning.popleft()), "random"

    def _size(self) -> int:
        """Proposals of the next round: few while each evaluation still changes much."""
        return max(self._wanted, min(self.batch, len(self._told) // 8), 1)

    def _round(self, n: int) -> list[tuple[NDArray, str]]:
        """One round of inquisition: learn, screen, move the generator, choose."""
        numbers = np.array(list(self._told))
        known = self._designs(numbers)
        if self._guidance.ready:
            self._guidance.learn(list(self._told), known)
        losses = np.array([[o.loss(self._told[k]) for o in self.objectives] for k in numbers])
        ranks = self._ranks(numbers.tolist(), losses)
        if not self._surrogate:
            return self._unscreened(known, ranks, n)
        features = self._features(known)
        beliefs = self._believe(features, ranks)
        acquisition = self._acquisition(beliefs, known, features, losses)
        waiting = self._designs(np.array([k for k in self._pending if k in self._codes], dtype=np.int64))
        for row in beliefs.expected(waiting, self._features(waiting)):
            acquisition.add(row)
        short = self._screened(beliefs, acquisition, known, ranks)
        self._rounds += 1
        return self._chosen(n, short, waiting, beliefs, acquisition)

    def _ranks(self, numbers: list[int], losses: NDArray) -> NDArray[np.int64]:
        """(N,) Pareto ranks; what misses a requirement comes behind, that which misses it least first.

        Source: Deb et al., NSGA-II, IEEE TEC 6(2), 2002, section VI-A.
        """
        if not self.requirements:
            return pareto.ranks(losses)
        missed = [[c.violation(self._told[k].get(c.metric, math.nan)) for c in self.requirements] for k in numbers]
        far = np.nan_to_num(np.sum(missed, axis=1), nan=math.inf)
        ranks, behind = np.empty(len(numbers), dtype=np.int64), np.argsort(far, kind="stable")[int((far == 0).sum()) :]
        ranks[far == 0] = pareto.ranks(losses[far == 0])
        ranks[behind] = ranks[far == 0].max(initial=-1) + 1 + np.arange(len(behind)) // TOGETHER
        return ranks

    def _believe(self, known: NDArray, ranks: NDArray) -> Beliefs:
        """The models, conditioned on what was told; `known` are the (N, F) features of the designs."""
        if self._beliefs is None:
            self._beliefs = Beliefs(self.space, self.objectives, self.requirements, self.utility)
        # The best are worth remembering, but they alone would be those that noise was kind to.
        best, drawn = np.argsort(ranks, kind="stable"), self._numbers.permutation(len(known))
        order = list(dict.fromkeys(np.column_stack([best, drawn]).ravel().tolist()))
        # Refused designs were never evaluated, but what they cost is known.
        listed = [*self._told.values(), *self._refused.values()]
        order = np.array([*order[: len(order) // 2], *range(len(known), len(listed)), *order[len(order) // 2 :]])
        told = {name: np.array([m.get(name, math.nan) for m in listed]) for name in self._beliefs.uncertain}
        refused = self._features(self._designs(np.array(list(self._refused), dtype=np.int64)))
        self._beliefs.learn(np.concatenate([known, refused]), told, order, self._numbers)
        if len(self._failed) >= FAILURES:
            self._beliefs.fear(known, self._features(self._designs(np.array(self._failed))))
        return self._beliefs

    def _acquisition(self, beliefs: Beliefs, known: Designs, features: NDArray, losses: NDArray) -> Acquisition:
        """What designs add to the known ones, told at what is believed of these: noise flatters single evaluations."""
        if len(self.objectives) == 1:
            acquisition: Acquisition = BestSoFar()
        else:
            if self._reference is None:
                self._reference = self._reference_point(losses)
            doubts = beliefs.doubts(self._features(self._usual[:SURE]))
            ordered = sorted(doubts, key=doubts.__getitem__, reverse=True)
            beliefs.settled = tuple(k for k in ordered[1:] if doubts[k] < SETTLED)
            uncertain = [k for k in ordered if k not in beliefs.settled]
            usual = np.concatenate([_exact_losses(self.objectives, self.space.exact_costs(self._usual)), losses])
            if len(uncertain) == 1 and len(self.objectives) - 1 <= most_costs():
                column = uncertain[0]
                best, worst = np.nanmin(losses[:, column]), self._reference[column]
                others = np.delete(np.arange(len(self.objectives)), column)
                most = (worst - best) * MARGIN
                acquisition = KnownCosts(column, self._reference, usual[:, others], most)
            else:
                acquisition = Weighted(np.nanmin(usual, axis=0), self._reference, self._numbers)
        for row in beliefs.expected(known, features):
            acquisition.add(row)
        return acquisition

    def _reference_point(self, losses: NDArray) -> NDArray[np.float64]:
        """(M,) of the hypervolume: bounds on costs, and a little worse than what the first designs came to."""
        usual = _exact_losses(self.objectives, self.space.exact_costs(self._usual))
        spread = losses.max(axis=0) - losses.min(axis=0)
        point = np.where(np.isnan(usual[0]), losses.max(axis=0) + 0.1 * spread, usual.max(axis=0))
        for number, objective in enumerate(self.objectives):
            bound = next((c for c in self.space.constraints if c.metric == objective.metric), None)
            if bound is not None and not objective.maximise and bound.high < math.inf:
                point[number] = bound.high
        return point

    def _screened(self, beliefs: Beliefs, acquisition: Acquisition, known: Designs, ranks: NDArray) -> Designs:
        """The most promising of all that is written in a round, and the generator moved towards them."""
        guided = self._guided(ranks)
        if self._pool.whole is not None:
            left = without(self._pool.whole, self._designs(np.array(list(self._codes))))
            return joined([*guided, self._look([left], beliefs, acquisition)[0]]) if len(left) else left
        share = self.screened // 10
        parts = [
            self._pool.anywhere(share),
            self._pool.policy(self._policy, 2 * share),
            self._pool.children(known.codes, 3 * share, _chances(ranks)),
        ]
        short, worth = self._look(parts, beliefs, acquisition)
        promising = short[worth > 0][:ELITE]
        if len(promising):
            self._policy.move(promising.codes, promising.macs)
            parts = [self._pool.policy(self._policy, share), self._pool.children(promising.codes, 3 * share)]
            short, _ = self._look([short, *parts], beliefs, acquisition)
        return joined([*guided, short])

    def _guided(self, ranks: NDArray) -> list[Designs]:
        """What differs from the best where the probes point; it is looked at closely in any case."""
        if not self._guidance.ready:
            return []
        best = np.argsort(ranks, kind="stable")
        numbers = np.array(list(self._told))[best]
        codes = np.array([self._codes[k] for k in numbers.tolist()])
        designs, words = self._guidance.children(numbers.tolist(), codes, GUIDED)
        self._words = dict(zip(keys(designs.rows).tolist(), words, strict=True))
        return [designs]

    def _look(
        self, parts: list[Designs], beliefs: Beliefs, acquisition: Acquisition
    ) -> tuple[Designs, NDArray[np.float64]]:
        """The best of some designs by a rough belief, best first, and how much each is expected to add."""
        designs = joined(parts)
        features = self._features(designs)
        some = self._numbers.choice(len(designs), size=min(256, len(designs)), replace=False)
        spread = {name: float(np.median(p.deviation)) for name, p in beliefs.posteriors(features[some]).items()}
        worth = acquisition.improvement(beliefs.rough(designs, features, spread)) * beliefs.hope(features)
        if self.requirements and not (worth > 0).any():  # first of all, meet what is required
            worth = beliefs.rough_chance(features, spread)
        order = np.argsort(-worth, kind="stable")[:SHORT]
        return designs[order], worth[order]

    def _chosen(
        self, n: int, short: Designs, waiting: Designs, beliefs: Beliefs, acquisition: Acquisition
    ) -> list[tuple[NDArray, str]]:
        """The `n` designs that are expected to add most, each given those before it."""
        designs = Designs(short.arrays, np.concatenate([waiting.rows, short.rows]))
        features = self._features(designs)
        posteriors = beliefs.posteriors(features)
        for number in range(len(waiting)):
            for posterior in posteriors.values():
                posterior.suppose(number)
        hope = beliefs.hope(features)
        expected = beliefs.expected(designs, features)
        open_ = np.ones(len(designs), dtype=bool)
        open_[: len(waiting)] = False
        found: list[tuple[NDArray, str]] = []
        while len(found) < n and open_.any():
            worth = acquisition.improvement(beliefs.losses(designs, posteriors)) * hope
            if self.requirements and not (worth[open_] > 0).any():
                worth = beliefs.chance(posteriors) * hope
            pick = int(np.where(open_, worth, -1.0).argmax())
            open_[pick] = False
            if designs[pick].id in self._proposed:
                continue
            found.append((designs.codes[pick].astype(np.int64), self._origin(designs, pick, posteriors)))
            acquisition.add(expected[pick])
            for posterior in posteriors.values():
                posterior.suppose(pick)
        return found

    def _origin(self, designs: Designs, which: int, posteriors: Mapping[str, Posterior]) -> str:
        said = [f"{n} {p.mean[which]:.4g} +- {p.deviation[which]:.2g}" for n, p in posteriors.items()]
        words = [f"round {self._rounds}", f"expected {', '.join(said)}" if said else ""]
        words.append(self._words.get(int(keys(designs.rows[which : which + 1])[0]), ""))
        return ", ".join(filter(None, words))

    def _unscreened(self, known: Designs, ranks: NDArray, n: int) -> list[tuple[NDArray, str]]:
        """Without beliefs: the policy moves towards the best, and what it and they bring forth goes out."""
        best = known[np.argsort(ranks, kind="stable")[: max(8, len(ranks) // 4)]]
        self._policy.move(best.codes, best.macs)
        drawn = joined([self._pool.policy(self._policy, 64), self._pool.children(known.codes, 64, _chances(ranks))])
        order = self._numbers.permutation(len(drawn))[:n]
        return [(drawn.codes[k].astype(np.int64), "unscreened") for k in order]

    def _features(self, designs: Designs) -> NDArray[np.float64]:
        """(N, F) what the surrogate is given: the structure and, where probes speak, what growth there is worth."""
        features = self._describe(designs)
        if not self._guidance.ready:
            return features
        return np.column_stack([features, self._guidance.potential(designs)])

    def _designs(self, numbers: NDArray) -> Designs:
        """Candidates that went out, as arrays."""
        codes = [self._codes[k] for k in numbers.tolist()]
        return self.space.designs(codes=np.array(codes, dtype=np.int64).reshape(len(codes), len(self.space.decisions)))

    def _coded(self, decisions: Mapping[str, Any]) -> NDArray[np.int64]:
        """(D,) numbers of choices; -1 where a decision does not exist."""
        codes = np.full(len(self._places), -1, dtype=np.int64)
        for path, value in decisions.items():
            number, choices = self._places[path]
            codes[number] = choices[_key(value)]
        return codes

    def _realised(self, codes: NDArray) -> Realised:
        """The design that numbers of choices mean, which were held against the bounds when they were written."""
        choices = {d.path: d.choices[code] for d, code in zip(self.space.decisions, codes, strict=True) if code >= 0}
        # Where there are many bounds, the walk may bar a few designs that are within all of them (Budgets.exact).
        return self.space.realise(lambda decision, allowed: choices[decision.path], feasible=False)


def _key(value: Any) -> str:
    return repr(value)


def _chances(ranks: NDArray) -> NDArray[np.float64]:
    """(N,) how often designs of these Pareto ranks become parents: each rank half as often as the one before."""
    chances = 0.5 ** np.minimum(ranks, 20)
    return chances / chances.sum()


def _exact_losses(objectives: tuple[Objective, ...], costs: Mapping[str, NDArray]) -> NDArray[np.float64]:
    """(N, M) losses; NaN where an objective is not known exactly."""
    count = len(next(iter(costs.values())))
    columns = [costs.get(o.metric, np.full(count, math.nan)) * (-1.0 if o.maximise else 1.0) for o in objectives]
    return np.stack(columns, axis=1)
