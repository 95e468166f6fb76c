"""What designs cost in a search before anything is evaluated: exact costs, predicted latency, bounds on both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gas.architecture import Architecture
from gas.costs import LatencyTable, Profile, cost, memory, profile_path
from gas.costs.pieces import pieces
from gas.evaluation import Constraint
from gas.plan import plan
from gas.space import SearchSpace

Probes = tuple[Mapping[str, float], ...]
"""What probing found: see `Evaluation`."""

PREDICTED = "latency_ms_predicted"
ROUNDING = 1e-9  # a sum added up in another order may differ by this share


@dataclass
class Pricing:
    """What a design costs, as far as that is known without evaluating it.

    Args:
        constraints: Absolute bounds on macs, params, memory and predicted latency.
        table: Latency as the sum over pieces; None where the space does not speak of latency.
        profile: Predicts latency better than that sum; None where there is none.
        memory_batch: Images per batch that memory is worked out for; 0 where the space does not speak of memory.
        reference_ms: Latency of the design that a bound is relative to, told as predictions are; None where none is.
    """

    constraints: tuple[Constraint, ...] = ()
    table: LatencyTable | None = None
    profile: Profile | None = None
    memory_batch: int = 0
    reference_ms: float | None = None

    def metrics(self, architecture: Architecture) -> dict[str, float]:
        """macs, params and, where they are asked for, memory and predicted latency."""
        latency = {} if self.table is None else {PREDICTED: self.predicted(architecture)}
        return self.exact(architecture) | latency

    def predicted(self, architecture: Architecture) -> float:
        """Predicted latency, ms."""
        return self.table.predict(architecture) if self.profile is None else self.profile.predict(architecture).ms

    @property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 90% interval of a predicted latency, as shares of it; None where there is no profile."""
        return None if self.profile is None else (self.profile.correction.low, self.profile.correction.high)

    def block_ms(self, architecture: Architecture) -> list[float]:
        """Predicted latency of each block of `plan(architecture).blocks`, ms; empty where latency is not priced."""
        blocks = plan(architecture).blocks
        if self.profile is not None:
            return [self.profile.price(placed.spec, placed.came) for placed in blocks]
        if self.table is None:
            return []
        return [sum(self.table.ms(piece) for piece in pieces(placed.spec, placed.came)) for placed in blocks]

    def with_latency(self, probes: Probes, architecture: Architecture) -> Probes:
        """Readings per block with `latency_share` among them: the share of the blocks' predicted latency."""
        parts = self.block_ms(architecture) if probes else []
        if not parts or not sum(parts) > 0:
            return probes
        total = sum(parts)
        return tuple({**r, "latency_share": ms / total} for r, ms in zip(probes, parts, strict=True))

    def exact(self, architecture: Architecture) -> dict[str, float]:
        """macs, params and, where it is asked for, memory."""
        counted = cost(architecture)
        held = {"memory_mib": memory(architecture, self.memory_batch).mib} if self.memory_batch else {}
        return {"macs": counted.macs, "params": counted.params, **held}

    def refusal(self, metrics: Mapping[str, float]) -> str:
        """Which constraints a design breaks, in words; empty for none."""
        broken = [c for c in self.constraints if c.metric in metrics and c.violation(metrics[c.metric]) > 0]
        return "; ".join(f"{c.metric} {metrics[c.metric]:.6g}, wanted {c}" for c in broken)

    def latency_bound(self, constraint: Constraint, reference: Architecture | None) -> Constraint:
        """The bound on predicted latency that a bound on latency means.

        With a profile, a reference design is measured whole, as the designs were that the profile learned from, and
        the bound is drawn in by the margin of the prediction: what is predicted within it is, nine times in ten and
        more, measured within it too.
        """
        if reference is not None:
            told = self.table.predict if self.profile is None else self.profile.reference
            self.reference_ms = told(reference)
            constraint = constraint.resolved(self.reference_ms)
        if self.profile is None:
            return constraint
        inner = self.profile.correction
        return Constraint(constraint.metric, constraint.low / inner.low, constraint.high / inner.high)

    def bounded(self, space: SearchSpace) -> SearchSpace:
        """The space as generators shall see it: with a profile, every choice keeps to the bounds on latency too."""
        bound = next((c for c in self.constraints if c.metric == PREDICTED), None)
        if self.profile is None or bound is None:
            return space
        low, high = bound.low * (1 + ROUNDING), bound.high * (1 - ROUNDING)
        return space.priced(PREDICTED, self.profile.price, low=low, high=high)


def find_profile(name: str, space: SearchSpace, table: LatencyTable, *, foreign: bool = False) -> Profile | None:
    """The profile that a setting means.

    Args:
        name: A path; `auto` for the one that was made of this space on this target and machine; `none`.
        space: The space.
        table: Of the target.
        foreign: Take one of another machine or other versions too.

    Raises:
        SettingError: No profile stands at the path, or one of another machine (see `Profile.load`).
    """
    if name == "none":
        return None
    path = profile_path(space, table) if name == "auto" else Path(name)
    return None if name == "auto" and not path.exists() else Profile.load(path, table, foreign=foreign)
