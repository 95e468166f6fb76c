"""What every registered generator must hold, on one space with budgets and one small enough to be exhausted."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gas.architecture import Architecture
from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.generators import GENERATORS, Generator, create
from gas.plan import plan
from gas.space import SearchSpace, load_space, space_from_text
from gas.testing.claims import claim, documented, is_file_of, run_checks, same

OBJECTIVES = (Objective("score", maximise=True), Objective("macs"))
SMALL = """
name: small
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, dim: 16}
stages:
  - dim: {choose: [16, 24, 32]}
    blocks:
      - pattern: transformer
        depth: {range: [1, 2]}
        mixer:
          choose:
            - {pattern: mask_unit_attention, mask_unit: {choose: [2, 4]}, heads: 2}
            - {pattern: global_attention, heads: 2}
        mlp: {pattern: mlp, ratio: {choose: [2, 4]}}
head: {pattern: classifier, classes: 10}
constraints: {macs: {max: 900k}}
"""


@dataclass(frozen=True)
class Trial:
    """A generator's name and the spaces that it is tried on.

    Args:
        name: Registered name.
        space: A space with budgets; a few thousand designs.
        small: A space with so few designs that all of them are asked for.
    """

    name: str
    space: SearchSpace
    small: SearchSpace

    def make(self, seed: int = 0, objectives: tuple[Objective, ...] = OBJECTIVES) -> Generator:
        """The generator over `space`."""
        return create(self.name, self.space, objectives, seed)


def check_generator(name: str, *only: str, space: SearchSpace | None = None, small: SearchSpace | None = None) -> None:
    """Checks a registered generator: proposals, determinism, replay, tells in any order, prototypes, exhaustion.

    Args:
        name: Its registered name.
        only: Names of GENERATOR_CHECKS to run; all where none is given.
        space: What it proposes from; the bundled `tiny` where None.
        small: What it is to exhaust; a space of a few dozen designs where None.

    Raises:
        AssertionError: One line for each check that fails: what is wrong, where, and what was expected.
        UnknownNameError: No generator, or no check, has the name.
    """
    GENERATORS.get(name)
    trial = Trial(name, space or load_space("tiny"), small or _small())
    run_checks(f"generator {name}", trial, GENERATOR_CHECKS, only)


@cache
def _small() -> SearchSpace:
    return space_from_text(SMALL)


def _name(trial: Trial) -> None:
    """Registered name and file agree; the class says what it does."""
    cls = GENERATORS.get(trial.name)
    is_file_of(cls, "gas.generators", trial.name)
    documented(cls)


def _proposals(trial: Trial) -> None:
    """Candidates are numbered, new, within the budgets and what their decisions say."""
    evaluations = _search(trial.make(), 60)
    candidates = [e.candidate for e in evaluations]
    same("numbers of 60 candidates", [c.number for c in candidates], list(range(60)))
    _all_new(candidates, 60)
    for candidate in candidates:
        where = f"candidate {candidate.number}"
        claim(candidate.origin, f"{where}: origin: got {candidate.origin!r}; expected how it was made")
        cost = plan(candidate.architecture).cost
        for bound in trial.space.budgets:
            value = getattr(cost, bound.metric)
            text = f"got {value:,}; expected {bound}: choose among `allowed` only, with feasible=True"
            claim(bound.violation(value) == 0, f"{where}: {bound.metric}: {text}")
        _decided(trial.space, candidate)


def _decided(space: SearchSpace, candidate: Candidate) -> None:
    """The candidate's decisions are those that the walk asks for, and give its design."""
    asked = []

    def choose(decision: Any, allowed: tuple) -> Any:
        asked.append(decision.path)
        value = candidate.decisions.get(decision.path)
        where = f"candidate {candidate.number}: decisions.{decision.path}"
        claim(value in allowed, f"{where}: got {value!r}; expected one of {list(allowed)}")
        return value

    realised = space.realise(choose).architecture
    where = f"candidate {candidate.number}"
    same(f"{where}: decisions", sorted(candidate.decisions), sorted(asked), "those that exist for this design")
    same(f"{where}: design", candidate.architecture.to_json(), realised.to_json(), "as its decisions make it")


def _seed(trial: Trial) -> None:
    """The same seed gives the same candidates; another gives others."""
    first, again, other = ([e.candidate for e in _search(trial.make(seed), 40)] for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        text = "the same twice: the seed and what was told are all that may bear on a proposal"
        where = f"candidate {one.number} with seed 1"
        same(where, (two.architecture.id, two.origin), (one.architecture.id, one.origin), text)
    claim(first != other, "40 candidates with seeds 1 and 2: got the same; expected others")


def _replay(trial: Trial) -> None:
    """A new generator to which all asks and tells are repeated goes on as the old one does."""
    order, history = random.Random(3), []
    unbroken = trial.make(7)
    waiting: list[Candidate] = []
    for _ in range(12):
        n = order.randrange(1, 5)
        waiting += unbroken.ask(n)
        now = [c for c in waiting if order.random() < 0.6]
        waiting = [c for c in waiting if c not in now]
        history.append((n, _told(unbroken, now, order)))
    resumed = trial.make(7)
    for n, evaluations in history:
        resumed.ask(n)
        for evaluation in evaluations:
            resumed.tell(evaluation)
    assert waiting, "the history must leave candidates out, as a search that is broken off does"
    got, expected = ([(c.number, c.architecture.id, c.origin) for c in g.ask(10)] for g in (resumed, unbroken))
    same("10 candidates after repeating 12 rounds of ask and tell", got, expected, "as the unbroken search proposes")


def _late(trial: Trial) -> None:
    """Evaluations may come late and in any order."""
    generator, order = trial.make(), random.Random(0)
    early = generator.ask(10)
    candidates = list(early)
    for _ in range(8):
        batch = generator.ask(5)
        candidates += batch
        _told(generator, batch, order)
    _told(generator, early, order)
    candidates += generator.ask(5)
    _all_new(candidates, 55)


def _prototypes(trial: Trial) -> None:
    """Prototypes are proposed first, in their order and by their names, and the search goes on from there."""
    designs = [c.architecture for c in create("random", trial.space, OBJECTIVES, 5).ask(3)]
    named = {f"prototype {k}": design for k, design in enumerate(designs)}
    generator = create(trial.name, trial.space, OBJECTIVES, 0, prototypes=named)
    claim(
        generator.first_batch >= 3, f"first_batch with 3 prototypes: got {generator.first_batch}; expected at least 3"
    )
    candidates = generator.ask(2)  # some at once, none of them told yet
    while len(candidates) < 30:
        for candidate in candidates[-2:]:
            generator.tell(_evaluate(candidate))
        candidates += generator.ask(2)
    same("origins of the first candidates", [c.origin for c in candidates[:3]], list(named), "the prototypes' names")
    for candidate, design in zip(candidates[:3], designs, strict=True):
        where = f"candidate {candidate.number}: design"
        same(where, candidate.architecture.to_json(), design.to_json(), "the prototype as it was given")
        _decided(trial.space, candidate)
    _all_new(candidates, 30)


def _failures(trial: Trial) -> None:
    """It goes on when nothing succeeds, and when metrics are absent or not finite."""
    for status in (Status.FAILED, Status.INFEASIBLE, Status.DUPLICATE):
        generator = trial.make()
        for _ in range(60):
            generator.tell(_evaluate(generator.ask(1)[0], status))
        same(f"candidates after 60 evaluations that are {status}", len(generator.ask(3)), 3)
    generator = trial.make()
    for k in range(40):
        metrics = [{}, {"score": math.nan, "macs": 1.0}, {"score": -math.inf, "macs": 1.0}][k % 3]
        generator.tell(Evaluation(generator.ask(1)[0], Status.OK, metrics))
    same("candidates after 40 evaluations with incomplete metrics", len(generator.ask(3)), 3)


def _once(trial: Trial) -> None:
    """Each candidate is told exactly once, and only those that were asked for."""
    generator = trial.make()
    first, second = generator.ask(2)
    generator.tell(_evaluate(first))
    wrong = {
        "candidate 0, told before": first,
        "candidate 2, never asked for": Candidate(2, first.architecture),
        "candidate 1 with another design": Candidate(1, first.architecture),
    }
    for what, candidate in wrong.items():
        try:
            generator.tell(_evaluate(candidate))
        except ValueError as error:
            named = f"candidate {candidate.number}" in str(error)
            claim(named, f"tell of {what}: got ValueError({error}); expected one that names the candidate")
        else:
            raise AssertionError(f"tell of {what}: got no error; expected ValueError")
    generator.tell(_evaluate(second))


def _exhausts(trial: Trial) -> None:
    """Asked for more than there are, it gives every feasible design once, and then none."""
    designs = _feasible(trial.small)
    generator = create(trial.name, trial.small, OBJECTIVES, 0)
    found = [e.candidate for e in _search(generator, len(designs) - 1)]
    claim(not generator.exhausted, f"exhausted after {len(found)} of {len(designs)} designs: got True; expected False")
    last = generator.ask(5)
    same(f"candidates left of {len(designs)} designs after {len(found)}", len(last), 1)
    claim(generator.exhausted, "exhausted after the last design: got False; expected True")
    _all_new([*found, *last], len(designs))
    same("designs proposed", sorted(c.architecture.id for c in [*found, *last]), sorted(designs))
    generator.tell(_evaluate(last[0]))
    same("candidates of an exhausted space", generator.ask(5), [])


def _objectives(trial: Trial) -> None:
    """One objective or four: it proposes."""
    for metrics in (["macs"], ["macs", "params", "latency_ms", "score"]):
        generator = trial.make(objectives=tuple(map(Objective, metrics)))
        for _ in range(30):
            (candidate,) = generator.ask(1)
            cost = plan(candidate.architecture).cost
            values = {"macs": cost.macs, "params": cost.params, "latency_ms": 1.0, "score": candidate.number % 3}
            generator.tell(Evaluation(candidate, Status.OK, values))
        same(f"candidates with {len(metrics)} objectives", len(generator.ask(2)), 2)


def _quiet(trial: Trial) -> None:
    """It prints nothing and leaves logging as it was."""
    before = _levels()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        _search(trial.make(), 5)
    same("text printed", said.getvalue(), "")
    same("levels of the loggers that were there", {k: v for k, v in _levels().items() if k in before}, before)


def _levels() -> Mapping[str, int]:
    loggers = {"": logging.getLogger(), **logging.Logger.manager.loggerDict}
    return {name: logger.level for name, logger in loggers.items() if isinstance(logger, logging.Logger)}


def _all_new(candidates: list[Candidate], wanted: int) -> None:
    ids = [c.architecture.id for c in candidates]
    again = next((c.number for c in candidates if ids.index(c.architecture.id) != candidates.index(c)), None)
    text = f"different designs: got {len(set(ids))}; expected {wanted}"
    claim(len(set(ids)) == wanted, text + (f"; candidate {again} repeats one" if again is not None else ""))


def _feasible(space: SearchSpace) -> set[str]:
    """Ids of every design within the budgets, by trying every choice at every decision."""
    found, prefixes = set(), [()]
    while prefixes:
        prefix, left = prefixes.pop(), []

        def choose(decision: Any, allowed: tuple, prefix: tuple = prefix, left: list = left) -> Any:
            left.append(allowed)
            return prefix[len(left) - 1] if len(left) <= len(prefix) else allowed[0]

        found.add(space.realise(choose).architecture.id)
        for depth in range(len(prefix), len(left)):
            came = (*prefix, *(allowed[0] for allowed in left[len(prefix) : depth]))
            prefixes += [(*came, value) for value in left[depth][1:]]
    return found


def _told(generator: Generator, asked: list[Candidate], order: random.Random) -> list[Evaluation]:
    """All candidates in a mixed order and with mixed fates, told."""
    evaluations = []
    for candidate in order.sample(asked, len(asked)):
        status = order.choice([Status.OK, Status.OK, Status.OK, Status.FAILED, Status.INFEASIBLE, Status.DUPLICATE])
        evaluations.append(_evaluate(candidate, status))
        generator.tell(evaluations[-1])
    return evaluations


def _evaluate(candidate: Candidate, status: Status = Status.OK) -> Evaluation:
    """An evaluation on a made-up problem: width and depth raise the score, less and less, and the macs."""
    metrics: dict[str, float] = {"macs": plan(candidate.architecture).cost.macs}
    if status is Status.OK:
        metrics["score"] = _score(candidate.architecture)
    return Evaluation(candidate, status, metrics)


def _score(architecture: Architecture) -> float:
    return sum(
        1 - math.exp(-math.log2(1 + stage.dim / 16) * math.sqrt(stage.depth) / 2) for stage in architecture.stages
    )


def _search(generator: Generator, n: int) -> list[Evaluation]:
    """`n` candidates, each told before the next is asked for; fewer where the space is exhausted."""
    evaluations = []
    for _ in range(n):
        for candidate in generator.ask(1):
            evaluations.append(_evaluate(candidate))
            generator.tell(evaluations[-1])
    return evaluations


GENERATOR_CHECKS = {
    "name": _name,
    "proposals": _proposals,
    "seed": _seed,
    "replay": _replay,
    "late": _late,
    "prototypes": _prototypes,
    "failures": _failures,
    "once": _once,
    "exhausts": _exhausts,
    "objectives": _objectives,
    "quiet": _quiet,
}
"""The checks by name, in the order in which they run."""
