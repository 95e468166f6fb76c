"""The search loop: the only place that knows generator, costs, evaluator and archive together.

It owns the bookkeeping: the budget, duplicates, feasibility, telling the generator of each candidate exactly once,
and what happens to a candidate whose worker died. Everything it does is an event in the archive before it counts, so
a search that is killed goes on by repeating these events to a fresh generator (`replay`).
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gas import interrupts
from gas.archive import Archive, States
from gas.errors import RunError
from gas.evaluation import Candidate, Climb, Evaluation, Objective, Status
from gas.evaluators import Evaluator, Outcome
from gas.generators import Generator
from gas.ladder import PREDICTED, Ladder
from gas.pricing import Pricing
from gas.progress import Front, Progress
from gas.utility import Utility

REJECTIONS = 2_000  # candidates in a row that never reach a worker, before the search gives up
RECENT = 101  # evaluations whose time says how long the next will take


@dataclass
class _Flight:
    """A candidate on its way.

    Args:
        candidate: The candidate.
        costs: What it costs.
        seconds: Worker time spent on it at the rungs below.
    """

    candidate: Candidate
    costs: dict[str, float]
    seconds: float = 0.0


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
        ladder: Says who is trained further, where the proxy has rungs.
        states: Where trainings under way are kept; None keeps none, so that what is cut off begins anew.
        rungs: JSON of the fidelity of each rung below the last.
        told: Called with each evaluation that counts, replayed or new, and with how many there are, the best value of
            the first objective and the hypervolume by then; before a new one is on the disk.
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
    ladder: Ladder = field(default_factory=lambda: Ladder(1, 2))
    states: States | None = None
    rungs: tuple[str, ...] = ()
    told: Callable[[Evaluation, int, float, float], None] | None = None
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.budget)
        self._seen: dict[str, int] = {}
        self._flying: dict[int, _Flight] = {}
        self._climbed: dict[int, list[Climb]] = {}
        self._front = Front(self.objectives, self.reference)
        self._seconds: deque[float] = deque(maxlen=RECENT)
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
                self._learn(event)
                continue
            if kind == "climbed":
                self._remember(event)
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

    def run(self, cut_off: Sequence[Candidate] = ()) -> str:
        """Searches until the budget is spent; returns why it ended: `budget`, `time` or `exhausted`."""
        self.begin(cut_off)
        while True:
            ended = self.fill()
            if ended and not self._flying:
                break
            self.take(self.evaluator.collect(timeout=0.25))
            interrupts.check()
            for note in self.evaluator.notes():
                self.log(note)
                self._report(note)
            self._report("")
        self._report("")
        if self.states is not None:
            self.states.close()
        return ended

    # What a turn writes is put on the disk at once; nothing of it counts elsewhere before that.

    def begin(self, cut_off: Sequence[Candidate]) -> None:
        """Takes up what `replay` found cut off."""
        with self.archive.together():
            for candidate in cut_off:
                if not self._spent():  # the budget of a resumed run may be smaller; what is left is for a later one
                    self._consider(candidate)

    def fill(self) -> str:
        """Starts evaluations while there is room; returns why none can be started any more, or an empty text."""
        with self.archive.together():
            while True:
                if self._spent():
                    return "budget"
                if self._late():
                    return "time"
                if self.evaluator.pending >= self.evaluator.capacity:
                    return ""
                asked = self.generator.ask(1) if self._refused_in_a_row() < REJECTIONS else []
                if not asked:
                    return "exhausted"
                self.archive.ask(asked[0])
                self._propose(asked[0])
                self._consider(asked[0])

    def take(self, outcomes: Sequence[Outcome], judged: bool | None = None) -> None:
        """Records what came of candidates, and sends on whoever goes on.

        Args:
            outcomes: What came of them.
            judged: Where it is not this loop's ladder that says who goes on: True where they go on by themselves,
                False where they were stopped.
        """
        with self.archive.together():
            for outcome in outcomes:
                self._finish(outcome, judged)

    def _spent(self) -> bool:
        return self.progress.done + len(self._flying) >= self.budget

    def _late(self) -> bool:
        waits = self.evaluator.pending // max(self.evaluator.at_once, 1)  # for those that lie before it
        return time.monotonic() + (1 + waits) * self._typical_seconds() > self.deadline

    def _refused_in_a_row(self) -> int:
        return self.progress.proposed - 1 - self._last_sent

    def _propose(self, candidate: Candidate) -> None:
        self.progress.proposed += 1
        first = self._seen.setdefault(candidate.architecture.id, candidate.number)
        self.progress.duplicate += first != candidate.number

    def _consider(self, candidate: Candidate) -> None:
        """Sends a candidate to a worker, or says at once what is wrong with it."""
        if climbs := self._climbed.get(candidate.number):  # cut off on a ladder
            flight = _Flight(candidate, dict(climbs[-1].costs), sum(climb.seconds for climb in climbs))
            self._flying[candidate.number] = flight
            self._go_on(flight, climbs[-1])
            return
        first = self._seen[candidate.architecture.id]
        metrics = self.pricing.metrics(candidate.architecture)
        refusal = self.pricing.refusal(metrics)
        if first != candidate.number:
            self._tell(Evaluation(candidate, Status.DUPLICATE, metrics, f"proposed before as {first}"))
        elif refusal:
            self._tell(Evaluation(candidate, Status.INFEASIBLE, metrics, refusal))
        else:
            self._last_sent = max(self._last_sent, candidate.number)
            self._flying[candidate.number] = _Flight(candidate, metrics)
            self.evaluator.submit(candidate)
            return
        refused = self._refused_in_a_row()
        if refused and refused % 20 == 0:
            self._report(f"{refused} candidates in a row outside the constraints")

    def _finish(self, outcome: Outcome, judged: bool | None) -> None:
        flight = self._flying[outcome.number]
        candidate, costs = flight.candidate, flight.costs
        flight.seconds += outcome.seconds
        if outcome.note:
            self.log(f"candidate {candidate.number} {outcome.note}")
        outcome = outcome if outcome.reason else replace(outcome, reason=_not_finite(outcome.metrics))
        if not outcome.reason and outcome.rung < self.ladder.last:
            self._climb(flight, outcome, judged)
            return
        evaluation = Evaluation(candidate, Status.OK, {**costs, **outcome.metrics}, "", flight.seconds)
        if outcome.probes:
            evaluation = replace(evaluation, probes=self.pricing.with_latency(outcome.probes, candidate.architecture))
        if outcome.reason:
            evaluation = replace(evaluation, status=Status.FAILED, metrics=costs, reason=outcome.reason)
        elif self.utility is not None:
            evaluation = self._with_utility(evaluation, costs)
        if evaluation.ok:
            evaluation = self._complete(evaluation, costs)
        self._tell(evaluation, outcome.worker)

    def _climb(self, flight: _Flight, outcome: Outcome, judged: bool | None) -> None:
        """What came of a candidate at a rung below the last: it goes on, or is stopped there."""
        number, rung = outcome.number, outcome.rung
        climb = Climb(flight.candidate, rung, outcome.metrics, flight.costs, goes_on=False, seconds=outcome.seconds)
        losses = self._remember(climb)
        climb = replace(climb, goes_on=self.ladder.goes_on(rung, losses) if judged is None else judged)
        if climb.goes_on and self.states is not None:
            self.states.keep(number, rung, outcome.state)
        self.archive.climb(climb, outcome.worker, self.rungs[rung])
        what = "goes on" if climb.goes_on else "is stopped"
        self.log(
            f"candidate {number} {what} at rung {rung + 1} of {self.ladder.rungs} "
            f"after {flight.seconds:.1f} s on {outcome.worker}"
        )
        if not judged:
            self._go_on(flight, climb, outcome.state, outcome.worker)

    def _go_on(self, flight: _Flight, climb: Climb, state: bytes = b"", worker: str = "") -> None:
        """Sends a candidate to the next rung, or tells of it where it is stopped."""
        candidate = flight.candidate
        if not climb.goes_on:
            predicted = self.ladder.predicted(climb.rung, climb.metrics)
            reason = f"stopped at rung {climb.rung + 1} of {self.ladder.rungs}: others promise more"
            stopped = Evaluation(candidate, Status.STOPPED, {**climb.costs, **predicted}, reason, flight.seconds)
            self._tell(stopped, worker or "resumed", self.rungs[climb.rung])
        elif self._late():
            del self._flying[candidate.number]  # it has not ended, and a resumed search takes it up
        else:
            state = state or (self.states.load(candidate.number, climb.rung) if self.states else b"")
            self.evaluator.submit(candidate, climb.rung + 1, state)

    def _remember(self, climb: Climb) -> tuple[float, ...]:
        """Takes a climb into the ladder; returns the losses that it has there."""
        number = climb.candidate.number
        reached = self._reached({**climb.costs, **climb.metrics})
        losses = tuple(objective.loss(reached) for objective in self.objectives)
        self.ladder.record(climb.rung, number, climb.metrics, losses)
        self._climbed.setdefault(number, []).append(climb)
        return losses

    def _reached(self, metrics: dict[str, float]) -> dict[str, float]:
        """Metrics with the utility, where there is one and it can be worked out from them."""
        return metrics if self.utility is None else self.utility.beside(metrics)

    def _with_utility(self, evaluation: Evaluation, costs: dict[str, float]) -> Evaluation:
        try:
            value = self.utility.of(evaluation.metrics)
        except ValueError as error:
            return replace(evaluation, status=Status.FAILED, metrics=costs, reason=str(error))
        return replace(evaluation, metrics={**evaluation.metrics, self.utility.name: value})

    def _complete(self, evaluation: Evaluation, costs: dict[str, float]) -> Evaluation:
        """The evaluation; failed where it lacks an objective, because no front can hold such a one."""
        lacking = [o.metric for o in self.objectives if not math.isfinite(o.loss(evaluation.metrics))]
        if not lacking:
            return evaluation
        got = evaluation.metrics.get(lacking[0], "no value")
        reason = f"{lacking[0]}: got {got}; expected a finite number, because it is an objective"
        return replace(evaluation, status=Status.FAILED, metrics=costs, reason=reason)

    def _tell(self, evaluation: Evaluation, worker: str = "", fidelity: str = "") -> None:
        number = evaluation.candidate.number
        self.archive.tell(evaluation, worker, (fidelity or self.fidelity) if worker else "")
        if self.states is not None and number in self._climbed:
            self.states.drop(number, self.ladder.rungs)
        self._flying.pop(number, None)
        if evaluation.status is not Status.STOPPED:
            where = f" in {evaluation.seconds:.1f} s on {worker}" if worker else ""
            why = f": {evaluation.reason}" if evaluation.reason else ""
            self.log(f"candidate {number} {evaluation.status}{where}{why}")
        self._learn(evaluation)

    def _learn(self, evaluation: Evaluation) -> None:
        """Takes in an evaluation that is recorded: the generator, the ladder, the progress."""
        number, metrics = evaluation.candidate.number, evaluation.metrics
        if evaluation.ok and number in self._climbed:
            losses = [objective.loss(metrics) for objective in self.objectives]
            self.ladder.record(self.ladder.last, number, metrics, losses)
        told = evaluation
        if evaluation.status is Status.STOPPED:  # a generator learns from what it would have come to
            known = {name: metrics[f"{name}{PREDICTED}"] for name in self._climbed[number][-1].metrics}
            told = replace(evaluation, status=Status.OK, metrics=self._reached({**metrics, **known}))
        self.generator.tell(told)
        self._count(evaluation)

    def _count(self, evaluation: Evaluation) -> None:
        state = self.progress
        state.infeasible += evaluation.status is Status.INFEASIBLE
        if not evaluation.counts:
            return
        self._last_sent = max(self._last_sent, evaluation.candidate.number)
        state.done += 1
        state.failed += evaluation.status is Status.FAILED
        state.stopped += evaluation.status is Status.STOPPED
        self._seconds.append(evaluation.seconds)
        if evaluation.ok:
            self._front.add(tuple(objective.loss(evaluation.metrics) for objective in self.objectives))
            state.best = self._front.best
        if self.told is not None:
            self.told(evaluation, state.done, state.best, self._front.hypervolume)

    def _typical_seconds(self) -> float:
        return statistics.median(self._seconds) if self._seconds else 0.0

    def _report(self, note: str) -> None:
        state = self.progress
        state.in_flight, state.note = len(self._flying), note
        state.elapsed = time.monotonic() - self._started
        state.hypervolume = self._front.hypervolume
        if state.done and self._seconds:
            at_once = max(self.evaluator.at_once, 1)
            work = (self.budget - state.done) * self._typical_seconds() / at_once
            state.seconds_left = min(work, max(self.deadline - time.monotonic(), 0.0))
        self.watch(state)


def reference_point(
    objectives: tuple[Objective, ...], bounds: Mapping[str, float], greatest: Mapping[str, float]
) -> tuple[float, ...]:
    """A fixed reference point for the hypervolume: the bound of each metric to make small, 0 for one to make large."""
    return tuple(0.0 if o.maximise else bounds.get(o.metric, greatest.get(o.metric, math.inf)) for o in objectives)


def _not_finite(metrics: Mapping[str, float]) -> str:
    """What is wrong with metrics one of which is not a finite number, in words; empty where all are."""
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    return f"{wrong[0]}: got {metrics[wrong[0]]}; expected a finite number" if wrong else ""


def fidelity_json(proxy_settings: Mapping[str, object]) -> str:
    """What is recorded with each evaluation about how its proxy was worked out."""
    return json.dumps(proxy_settings, sort_keys=True, separators=(",", ":"))
