"""What a search wants, what it proposes and what came of it: objectives, constraints, candidates, evaluations."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gas.architecture import Architecture

UNITS = {
    "macs": "multiply-adds",
    "params": "parameters",
    "memory_mib": "MiB",
    "latency_ms": "ms per batch",
    "latency_ms_predicted": "ms per batch, predicted",
    "imagenet_top1_estimate": "% of ImageNet-1k, estimated",
    "imagenet_top1_estimate_low": "% of ImageNet-1k, lower end of 90%",
    "imagenet_top1_estimate_high": "% of ImageNet-1k, upper end of 90%",
    "seconds": "s",
}


@dataclass(frozen=True)
class Objective:
    """A metric to make large or small.

    Args:
        metric: Name of a metric of an evaluation (`macs`, `latency_ms_predicted`, a proxy's name).
        maximise: True where more is better.
    """

    metric: str
    maximise: bool = False

    def loss(self, metrics: Mapping[str, float]) -> float:
        """The value with its sign turned so that less is better; NaN where the metric is absent."""
        value = metrics.get(self.metric, math.nan)
        return -value if self.maximise else value

    def __str__(self) -> str:
        return f"{'maximise' if self.maximise else 'minimise'} {self.metric}"


@dataclass(frozen=True)
class Constraint:
    """Bounds on a metric; both ends belong to what is allowed.

    Args:
        metric: Name of the bounded metric.
        low: Least allowed value.
        high: Greatest allowed value.
        of: Where not empty: the bounds are multiples of this reference design's own value of the metric.
    """

    metric: str
    low: float = -math.inf
    high: float = math.inf
    of: str = ""

    def resolved(self, reference: float) -> Constraint:
        """The absolute constraint that this one means where the reference design measures `reference`."""
        return Constraint(self.metric, self.low * reference, self.high * reference) if self.of else self

    def violation(self, value: float) -> float:
        """How far outside the bounds, as a share of the bound passed; 0 inside; NaN for an unknown value."""
        if math.isnan(value):
            return math.nan
        if value > self.high:
            return (value - self.high) / abs(self.high) if self.high else math.inf
        if value < self.low:
            return (self.low - value) / abs(self.low) if self.low else math.inf
        return 0.0

    def __str__(self) -> str:
        of = f" x {self.of}" if self.of else ""
        parts = [f">= {self.low:g}{of}"] * (self.low > -math.inf) + [f"<= {self.high:g}{of}"] * (self.high < math.inf)
        return f"{self.metric} {' and '.join(parts)}"


class Status(enum.StrEnum):
    """What became of a candidate."""

    OK = "ok"
    INFEASIBLE = "infeasible"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    STOPPED = "stopped"  # early, at a rung below the last: it did not promise enough to go on


@dataclass(frozen=True)
class Candidate:
    """A proposed architecture.

    Args:
        number: Count within the run, from 0.
        architecture: The design.
        origin: How it was made: the generator's words (`random`, `mutation of 12`).
        decisions: Value per decision path, as the generator chose them.
    """

    number: int
    architecture: Architecture
    origin: str = ""
    decisions: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Evaluation:
    """What came of a candidate.

    Args:
        candidate: The candidate.
        status: Outcome.
        metrics: Value per metric name; costs are there whatever the outcome, proxies only where it is `ok`. Where it
            was stopped, what the proxies would have come to, marked `_predicted`.
        reason: Why it failed, is infeasible or was stopped; empty otherwise.
        seconds: Worker time spent on it.
        probes: What probing the built design found: a mapping per block, in order, of reading to value, with the
            number of its stage under `stage`; empty where it was not probed.
    """

    candidate: Candidate
    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    probes: tuple[Mapping[str, float], ...] = ()

    @property
    def ok(self) -> bool:
        """True where every metric asked for is there."""
        return self.status is Status.OK

    @property
    def counts(self) -> bool:
        """True where it is one of the evaluations of a budget: a worker had it."""
        return self.status in (Status.OK, Status.FAILED, Status.STOPPED)


@dataclass(frozen=True)
class Climb:
    """What a candidate came to at a rung of the ladder below the last.

    Args:
        candidate: The candidate.
        rung: The rung, from 0.
        metrics: Of its proxies there.
        costs: Its costs.
        goes_on: True where it is to go on to the next rung.
        seconds: Worker time spent at this rung.
    """

    candidate: Candidate
    rung: int
    metrics: Mapping[str, float]
    costs: Mapping[str, float]
    goes_on: bool
    seconds: float = 0.0
