"""The search loop: the only place that knows generator, costs, evaluator and archive together.

It owns the bookkeeping: the budget, duplicates, feasibility, telling the generator of each candidate exactly once,
and what happens to a candidate whose worker died. Everything it does is an event in the archive before it counts, so
a search that is killed goes on by repeating these events to a fresh generator (`replay`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gas.archive import Archive
from gas.errors import RunError
from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.evaluators import Evaluator, Outcome
from gas.generators import Generator
from gas.pareto import hypervolume
from gas.pricing import Pricing
from gas.utility import Utility

REJECTIONS = 2_000  # candidates in a row that never reach a worker, before the search gives up


@dataclass
class Progress:
    """How far a search has come, for whoever watches it.

    Args:
        total: Evaluations wanted.
        done: Evaluations finished, failed ones included.
        failed: Of these, failed.
        proposed: Candidates proposed.
        infeasible: Of these, outside the constraints.
        duplicate: Of these, proposed before.
        in_flight: Evaluations under way.
        best: Best value of the first objective so far; NaN before the first.
        hypervolume: Volume dominated so far, with each objective to be made small as a share of its bound; NaN where
            one has no bound.
        elapsed: Seconds since the start.
        seconds_left: Estimate; NaN before there is one.
        note: What is going on, in words.
    """

    total: int
    done: int = 0
    failed: int = 0
    proposed: int = 0
    infeasible: int = 0
    duplicate: int = 0
    in_flight: int = 0
    best: float = math.nan
    hypervolume: float = math.nan
    elapsed: float = 0.0
    seconds_left: float = math.nan
    note: str = ""

    @property
    def feasible_share(self) -> float:
        """Share of new designs that satisfied the constraints; NaN before the first."""
        fresh = self.proposed - self.duplicate
        return (fresh - self.infeasible) / fresh if fresh else math.nan


@dataclass
class Loop:
    """One search under way.

    Args:
        generator: Proposes.
        pricing: Prices, and refuses what breaks a constraint.
        evaluator: Runs the proxies.
        archive: Records.
        objectives: In recorded metric names.
        budget: Evaluations wanted in all.
        deadline: `time.monotonic()` after which nothing new is started.
        fidelity: JSON recorded with each evaluation.
        reference: Losses of the hypervolume's reference point.
        watch: Called with the progress whenever it has changed.
        log: Takes a line for every candidate told.
        utility: What the objective is worked out from, where it is a utility.
    """

    generator: Generator
    pricing: Pricing
    evaluator: Evaluator
    archive: Archive
    objectives: tuple[Objective, ...]
    budget: int
    deadline: float = math.inf
    fidelity: str = ""
    reference: tuple[float, ...] = ()
    watch: Callable[[Progress], None] = lambda progress: None
    log: Callable[[str], None] = lambda line: None
    utility: Utility | None = None
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.budget)
        self._seen: dict[str, int] = {}
        self._flying: dict[int, tuple[Candidate, dict[str, float]]] = {}
        self._losses: list[tuple[float, ...]] = []
        self._shown = 0  # of these, in the hypervolume last worked out
        self._seconds: list[float] = []
        self._started = time.monotonic()
        self._last_sent = -1  # number of the last candidate that went to a worker

    def replay(self) -> list[Candidate]:
        """Repeats the archive's events to the generator; returns the candidates whose evaluation was cut off.

        Raises:
            RunError: The generator now proposes something else, so going on would not be the same search.
        """
        cut_off: dict[int, Candidate] = {}
        for kind, event in self.archive.events():
            if kind == "told":
                cut_off.pop(event.candidate.number)
                self.generator.tell(event)
                self._count(event)
                continue
            asked = self.generator.ask(1)
            if not asked or asked[0].architecture != event.architecture:
                got = asked[0].architecture.id if asked else "nothing"
                raise RunError(
                    f"{self.archive.file.parent}: candidate {event.number} was {event.architecture.id}, but the "
                    f"generator now proposes {got}; resume with the versions that began the run"
                )
            cut_off[event.number] = asked[0]
            self._propose(asked[0])
        return list(cut_off.values())

    def run(self, cut_off: list[Candidate] = ()) -> str:
        """Searches until the budget is spent; returns why it ended: `budget`, `time` or `exhausted`."""
        for candidate in cut_off:
            if not self._spent():  # the budget of a resumed run may be smaller; what is left then can be resumed later
                self._consider(candidate)
        while True:
            ended = self._fill()
            if not self._flying:
                self._report("")
                return ended
            for outcome in self.evaluator.collect(timeout=0.25):
                self._finish(outcome)
            self._report("")

    def _fill(self) -> str:
        """Starts evaluations while there is room; returns why none can be started any more, or an empty text."""
        while True:
            if self._spent():
                return "budget"
            if time.monotonic() + self._typical_seconds() > self.deadline:
                return "time"
            if self.evaluator.pending >= self.evaluator.capacity:
                return ""
            asked = self.generator.ask(1) if self._refused_in_a_row() < REJECTIONS else []
            if not asked:
                return "exhausted"
            self.archive.ask(asked[0])
            self._propose(asked[0])
            self._consider(asked[0])

    def _spent(self) -> bool:
        return self.progress.done + len(self._flying) >= self.budget

    def _refused_in_a_row(self) -> int:
        return self.progress.proposed - 1 - self._last_sent

    def _propose(self, candidate: Candidate) -> None:
        self.progress.proposed += 1
        first = self._seen.setdefault(candidate.architecture.id, candidate.number)
        self.progress.duplicate += first != candidate.number

    def _consider(self, candidate: Candidate) -> None:
        """Sends a candidate to a worker, or says at once what is wrong with it."""
        first = self._seen[candidate.architecture.id]
        metrics = self.pricing.metrics(candidate.architecture)
        refusal = self.pricing.refusal(metrics)
        if first != candidate.number:
            self._tell(Evaluation(candidate, Status.DUPLICATE, metrics, f"proposed before as {first}"))
        elif refusal:
            self._tell(Evaluation(candidate, Status.INFEASIBLE, metrics, refusal))
        else:
            self._last_sent = max(self._last_sent, candidate.number)
            self._flying[candidate.number] = candidate, metrics
            self.evaluator.submit(candidate)
            return
        refused = self._refused_in_a_row()
        if refused and refused % 20 == 0:
            self._report(f"{refused} candidates in a row outside the constraints")

    def _finish(self, outcome: Outcome) -> None:
        candidate, metrics = self._flying.pop(outcome.number)
        evaluation = Evaluation(candidate, Status.OK, {**metrics, **outcome.metrics}, "", outcome.seconds)
        if outcome.probes:
            evaluation = replace(evaluation, probes=self.pricing.with_latency(outcome.probes, candidate.architecture))
        if outcome.reason:
            evaluation = replace(evaluation, status=Status.FAILED, metrics=metrics, reason=outcome.reason)
        elif self.utility is not None:
            evaluation = self._with_utility(evaluation, metrics)
        if outcome.note:
            self.log(f"candidate {candidate.number} {outcome.note}")
        self._tell(evaluation, outcome.worker)

    def _with_utility(self, evaluation: Evaluation, costs: dict[str, float]) -> Evaluation:
        try:
            value = self.utility.of(evaluation.metrics)
        except ValueError as error:
            return replace(evaluation, status=Status.FAILED, metrics=costs, reason=str(error))
        return replace(evaluation, metrics={**evaluation.metrics, self.utility.name: value})

    def _tell(self, evaluation: Evaluation, worker: str = "") -> None:
        self.archive.tell(evaluation, worker, self.fidelity if worker else "")
        where = f" in {evaluation.seconds:.1f} s on {worker}" if worker else ""
        why = f": {evaluation.reason}" if evaluation.reason else ""
        self.log(f"candidate {evaluation.candidate.number} {evaluation.status}{where}{why}")
        self.generator.tell(evaluation)
        self._count(evaluation)

    def _count(self, evaluation: Evaluation) -> None:
        state = self.progress
        state.infeasible += evaluation.status is Status.INFEASIBLE
        if evaluation.status not in (Status.OK, Status.FAILED):
            return
        self._last_sent = max(self._last_sent, evaluation.candidate.number)
        state.done += 1
        state.failed += evaluation.status is Status.FAILED
        self._seconds.append(evaluation.seconds)
        if evaluation.ok:
            losses = tuple(objective.loss(evaluation.metrics) for objective in self.objectives)
            self._losses.append(losses)
            first = min(row[0] for row in self._losses)
            state.best = -first if self.objectives[0].maximise else first

    def _dominated(self) -> float:
        """The volume that Progress speaks of; worked out when it is shown, so a replay does not pay for it."""
        if not self._losses or not self.reference or not all(map(math.isfinite, self.reference)):
            return math.nan
        scale = np.array([abs(r) or 1.0 for r in self.reference])
        return hypervolume(np.array(self._losses) / scale, np.array(self.reference) / scale)

    def _typical_seconds(self) -> float:
        return float(np.median(self._seconds)) if self._seconds else 0.0

    def _report(self, note: str) -> None:
        state = self.progress
        state.in_flight, state.note = len(self._flying), note
        state.elapsed = time.monotonic() - self._started
        if len(self._losses) != self._shown:
            self._shown, state.hypervolume = len(self._losses), self._dominated()
        if state.done and self._seconds:
            at_once = max(self.evaluator.capacity, 1)
            work = (self.budget - state.done) * self._typical_seconds() / at_once
            state.seconds_left = min(work, max(self.deadline - time.monotonic(), 0.0))
        self.watch(state)


def reference_point(
    objectives: tuple[Objective, ...], bounds: Mapping[str, float], greatest: Mapping[str, float]
) -> tuple[float, ...]:
    """A fixed reference point for the hypervolume: the bound of each metric to make small, 0 for one to make large."""
    return tuple(0.0 if o.maximise else bounds.get(o.metric, greatest.get(o.metric, math.inf)) for o in objectives)


def fidelity_json(proxy_settings: Mapping[str, object]) -> str:
    """What is recorded with each evaluation about how its proxy was worked out."""
    return json.dumps(proxy_settings, sort_keys=True, separators=(",", ":"))
