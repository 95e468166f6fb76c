"""Loops on the small space, with an evaluator that gives back what came last first."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

from small_search import fails, score

from gas.archive import Archive
from gas.evaluation import Constraint, Evaluation, Objective
from gas.evaluators import Evaluator, Outcome, Task, Work, create
from gas.generators import Generator
from gas.generators import create as create_generator
from gas.loop import Loop
from gas.pricing import Pricing
from gas.space import SearchSpace

OBJECTIVES = (Objective("quick", maximise=True), Objective("macs"))
OPTIONS = {"evolution": {"population": 4, "start": 4}, "nsga2": {"population": 4}, "tpe": {"start": 4}}
WORK = Work((("quick", {"seed": 3}),))
# About a third of the designs cost more than this.
BOUND = Constraint("macs", high=1.2e7)


class Lifo(Evaluator):
    """Three at a time, the last one submitted finished first: the order that a loop must not rely upon."""

    def __init__(self, work: Work = WORK, capacity: int = 3) -> None:
        super().__init__(work, workers=capacity)
        self.waiting: list[Task] = []
        self.taken = Counter()

    def _start(self, task: Task) -> None:
        self.taken[task.number] += 1
        self.waiting.append(task)

    def collect(self, timeout: float) -> list[Outcome]:
        if not self.waiting:
            return []
        candidate = self.waiting.pop().candidate
        del self._submitted[candidate.number]
        if fails(candidate.architecture):
            return [Outcome(candidate.number, {}, "killed", 0.5, "here:1")]
        return [Outcome(candidate.number, {"quick": score(candidate.architecture)}, "", 0.25, "here:1")]

    def _stop(self) -> None:
        self.waiting.clear()


def loop_in(folder: Path, generator: Generator, evaluator: Evaluator | None = None, **options: object) -> Loop:
    """A loop on the archive of a folder, which is made where it is not there."""
    folder.mkdir(exist_ok=True)
    archive = Archive.open(folder) if any(folder.iterdir()) else Archive.create(folder)
    settings = {"budget": 8, "fidelity": '{"steps":1}', "reference": (0.0, 1.2e7)} | options
    pricing = Pricing((BOUND,))
    return Loop(generator, pricing, evaluator or create("in_process", WORK), archive, OBJECTIVES, **settings)


def named(name: str, space: SearchSpace, seed: int = 1) -> Generator:
    return create_generator(name, space, OBJECTIVES, seed, **OPTIONS.get(name, {}))


def outcome_of(evaluation: Evaluation) -> tuple:
    """All of an evaluation but the time it took."""
    candidate = evaluation.candidate
    decisions = dict(candidate.decisions)
    return candidate, decisions, evaluation.status, dict(evaluation.metrics), evaluation.reason


def cut(archive: Archive, k: int, folder: Path) -> None:
    """A new archive with the first `k` events of another."""
    folder.mkdir()
    with Archive.create(folder) as new:
        write = {"asked": new.ask, "climbed": new.climb, "told": lambda event: new.tell(event, "here:1", '{"steps":1}')}
        for kind, event in itertools.islice(archive.events(), k):
            write[kind](event)
