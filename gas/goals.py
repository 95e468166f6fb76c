"""What a search wants, in recorded names: objectives or a utility, and the bounds that only an evaluation decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gas.errors import SettingError
from gas.evaluation import Constraint, Objective
from gas.proxies import PROXIES
from gas.settings import ESTIMATE, LATENCY, MEMORY, PROXY, Settings
from gas.space import SearchSpace
from gas.space.document import METRICS, said
from gas.utility import ACCURACY, NAMED, Utility, read_utility

_ACCURATE = re.compile(rf"\b({'|'.join([ACCURACY, *NAMED])})\b")


@dataclass(frozen=True)
class Goals:
    """What a search wants.

    Args:
        objectives: What is made large or small: those of the space, or the utility alone.
        utility: What the objective is worked out from, where it is a utility.
        requirements: Bounds on scores.
        measured: Bounds that an evaluation or a measurement decides: those on the score, and on latency as it was
            measured (on the ratio where they are relative to a design).
        spoken: Metrics that space and utility speak of, as a space does.
    """

    objectives: tuple[Objective, ...]
    utility: Utility | None
    requirements: tuple[Constraint, ...]
    measured: tuple[Constraint, ...]
    spoken: frozenset[str]

    @classmethod
    def of(cls, space: SearchSpace, settings: Settings) -> Goals:
        """What a search over a space wants.

        Raises:
            SettingError: The utility cannot be read, or a bound on the score is relative to a design.
        """
        utility = read_utility(settings.utility, words(settings)) if settings.utility else None
        objectives = space.objectives or (Objective(PROXY, maximise=True), Objective("macs"))
        spoken = {o.metric for o in objectives} | {c.metric for c in space.constraints}
        if utility is not None:
            spoken |= {metric for metric in METRICS.values() if settings.metric(metric) in utility.metrics}
            objectives = (Objective(utility.name, maximise=True),)
        requirements, latencies = [], []
        for bound in space.constraints:
            if bound.metric in (PROXY, ESTIMATE):
                if bound.of:
                    where = f"constraints.{said(bound.metric)}.of"
                    raise SettingError(f"{where}: got {bound.of!r}; expected a bound on the score itself")
                requirements.append(settings.constraint(bound))
            elif bound.metric == LATENCY:
                latencies.append(Constraint("latency_ratio" if bound.of else LATENCY, bound.low, bound.high))
        return cls(
            tuple(settings.objective(o) for o in objectives),
            utility,
            tuple(requirements),
            (*requirements, *latencies),
            frozenset(spoken),
        )

    @property
    def latency(self) -> bool:
        """Whether latency bears on the search."""
        return LATENCY in self.spoken

    @property
    def scores(self) -> tuple[str, ...]:
        """What is scored by words of its own, beside or in place of what `proxy` stands for: names of proxies."""
        return (ESTIMATE,) if ESTIMATE in self.spoken else ()

    @property
    def memory(self) -> bool:
        """Whether memory bears on the search."""
        return MEMORY in self.spoken

    def with_utility(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics of a design with the utility, where there is one and it can be worked out from them."""
        return dict(metrics) if self.utility is None else self.utility.beside(metrics)


def reads_accuracy(utility: str) -> bool:
    """Whether a utility is of the accuracy that a proxy measures."""
    return bool(_ACCURATE.search(utility))


def words(settings: Settings) -> dict[str, str]:
    """What a utility may name -> what it is recorded as: first the words of a space, then the recorded names.

    Raises:
        SettingError: The utility reads an accuracy, which the proxy does not measure.
    """
    proxy = PROXIES.get(settings.proxy)
    if not proxy.accuracy and reads_accuracy(settings.utility):
        those = ", ".join(name for name in PROXIES if PROXIES.get(name).accuracy)
        expected = f"a proxy that measures one ({those}), or a utility without"
        raise SettingError(
            f"utility: got {settings.utility!r}, which reads an accuracy, with the proxy {settings.proxy}; "
            f"expected {expected}"
        )
    said = {word: settings.metric(metric) for word, metric in METRICS.items()}
    said |= {ACCURACY: proxy.accuracy} if proxy.accuracy else {}
    return said | {recorded: recorded for recorded in said.values()}
