"""After the search: the designs of the front are measured for real before they are called feasible.

During the search a latency is predicted from a table of parts. Here whole designs are timed, interleaved with the
reference design of the constraint, and a design that turns out too slow leaves the front; what then moves up is
measured as well, until everything on the front is measured or the time is up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gas.architecture import Architecture
from gas.archive import Archive, front_of
from gas.costs import latency, ratio
from gas.costs.targets import create
from gas.evaluation import Candidate, Constraint, Objective, Status
from gas.evaluators import Evaluator

if TYPE_CHECKING:
    import pandas as pd

ROUND = 24  # designs timed together: the more, the fewer rounds; the fewer, the nearer in time are two that compare


@dataclass(frozen=True)
class Measuring:
    """How latencies are measured.

    Args:
        target: Latency target.
        batch: Images per call.
        threads: CPU threads.
        seconds: Time for each design of a round, at most.
        reference_name: Name of the design that all are measured beside; empty for none.
        reference: That design.
    """

    target: str
    batch: int
    threads: int
    seconds: float
    reference_name: str = ""
    reference: Architecture | None = None


def measure_designs(archive: Archive, designs: Sequence[Architecture], how: Measuring) -> None:
    """Times designs beside the reference, interleaved, and records median, quartiles and ratio of each."""
    others = [d for d in designs if how.reference is None or d.id != how.reference.id]
    beside = [] if how.reference is None else [how.reference]
    settings = {"target": how.target, "batch": how.batch, "threads": how.threads}
    # By the clock that predictions go by: work that goes on beside must not look like a slow design.
    clock = create(how.target, batch=how.batch, threads=how.threads).usual_clock
    seconds = how.seconds * (len(beside) + len(others))
    timings = latency([*beside, *others], **settings, seconds=seconds, clock=clock)
    for design, timing in zip([*beside, *others], timings, strict=True):
        archive.measure(
            design.id,
            target=how.target,
            batch=how.batch,
            threads=how.threads,
            median_ms=timing.median_ms,
            q1_ms=timing.q1_ms,
            q3_ms=timing.q3_ms,
            repeats=timing.repeats,
            reference=how.reference_name,
            ratio=ratio(timing, timings[0]).value if beside else None,
        )


def measure_front(
    archive: Archive,
    objectives: tuple[Objective, ...],
    constraints: tuple[Constraint, ...],
    how: Measuring,
    *,
    also: Sequence[Architecture] = (),
    deadline: float,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Measures whatever stands on the front and is not measured yet; returns how many designs it left unmeasured.

    Args:
        archive: The run's archive.
        objectives: In recorded names.
        constraints: Absolute bounds on measured metrics (`latency_ms`, `latency_ratio`).
        how: How to measure.
        also: Designs to measure in the first round too (those the chosen one will be shown beside).
        deadline: `time.monotonic()` after which no new round begins.
        watch: Called with the designs measured and wanted so far.
    """
    # What a run measured before it was cut off need not be measured again: its ratio was to the same reference.
    measured = set(archive.latencies((how.target, how.batch, how.threads)))
    extra = [design for design in also if design.id not in measured]
    done = 0
    while True:
        waiting = [id for id in standing(archive, objectives, constraints) if id not in measured]
        if not waiting and not extra:
            return 0
        if done and time.monotonic() > deadline:
            return len(waiting)
        batch = waiting[:ROUND]
        designs = [*extra, *(archive.architecture(id) for id in batch)]
        measure_designs(archive, designs, how)
        measured.update(batch)
        done += len(batch)
        extra = []
        watch(done, done + len(waiting) - len(batch))


def standing(archive: Archive, objectives: tuple[Objective, ...], constraints: tuple[Constraint, ...]) -> list[str]:
    """Content ids of the designs that no other one dominates, those refuted by measurement left out."""
    return list(unrefuted_front(archive, objectives, constraints)["id"])


def unrefuted_front(
    archive: Archive,
    objectives: tuple[Objective, ...],
    constraints: tuple[Constraint, ...],
    among: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows,
) -> pd.DataFrame:
    """The front among designs that no measurement has shown to break a constraint, with a column `verified`.

    Not measured is not refuted; `verified` is True where every constraint's metric is known and within its bounds.
    `among` gives back those of the rows that the front shall be of.
    """
    rows = archive.frame()
    rows = rows[rows["status"] == str(Status.OK)]
    verified = rows["id"].notna()
    for constraint in constraints:
        values = rows[constraint.metric] if constraint.metric in rows else rows["seconds"] * math.nan
        held = ((values >= constraint.low) & (values <= constraint.high)).fillna(False).astype(bool)
        rows, verified = rows[held | values.isna()], verified[held | values.isna()] & held
    told = rows.assign(verified=verified)
    told.attrs = rows.attrs
    front = front_of(among(told), objectives, ())
    front.attrs = rows.attrs
    return front


def score_references(
    evaluator: Evaluator, references: Mapping[str, Architecture], *, timeout: float
) -> dict[str, dict[str, float]]:
    """Proxy scores of designs that are no candidates: name -> metrics (empty where it failed or time ran out)."""
    scores: dict[str, dict[str, float]] = {name: {} for name in references}
    names, deadline = list(references), time.monotonic() + timeout
    candidates = [Candidate(-1 - i, references[name], f"reference {name}") for i, name in enumerate(names)]
    for outcomes in evaluator.outcomes(candidates, rung=evaluator.work.last_rung, until=deadline):
        for outcome in outcomes:
            scores[names[-1 - outcome.number]] = {} if outcome.reason else dict(outcome.metrics)
        if time.monotonic() >= deadline:
            break
    return scores
