"""Scores of untrained networks, which share the passes that they read."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gas.architecture import Architecture
from gas.errors import GasError
from gas.passes import Passes, fresh
from gas.proxies.base import Fidelity, Proxy


class TrainingFree(Proxy):
    """A score of the untrained network. Neither `data` nor `fidelity.width` is read.

    The network is built for images of `fidelity.resolution` or the next larger size at which the design exists, drawn
    as `gas.passes.subject.neutralise` says, its batch norms calibrated, and shown `fidelity.batch` Gaussian images
    (fewer where they have to be larger, 8 at least). The score is the mean over `fidelity.seeds` such networks.
    """

    default_fidelity = Fidelity(resolution=64, batch=16, seeds=2)

    @abstractmethod
    def read(self, passes: Passes) -> dict[str, float]:
        """Metrics of one network: the score under the proxy's name, and extras whose names begin with it.

        Raises:
            ValueError: No score can be read; says why.
        """

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """See `Proxy.score`."""
        (found,) = score_together([self], architecture, seed=seed, deadline=deadline).values()
        if isinstance(found, str):
            raise ValueError(found)
        return found


def score_together(
    proxies: Sequence[TrainingFree], architecture: Architecture, *, seed: int = 0, deadline: float | None = None
) -> dict[str, dict[str, float] | str]:
    """Scores of one design that read the same passes, each pass made once per network.

    Args:
        proxies: Of one and the same fidelity.
        architecture: The design at its own size.
        seed: As for `Proxy.score`, which gives the same numbers.
        deadline: As for `Proxy.score`.

    Returns:
        By the proxy's name its metrics; or the reason, in one line, why it has none for this design.

    Raises:
        DesignError: The design cannot be built.
        TimeoutError: The deadline has passed.
        ValueError: The proxies differ in fidelity.
    """
    if len({proxy.fidelity for proxy in proxies}) > 1:
        raise ValueError("score_together: got proxies of several fidelities; expected one")
    found: dict[str, list[dict[str, float]]] = {proxy.name: [] for proxy in proxies}
    reasons: dict[str, str] = {}
    for index in range(proxies[0].fidelity.seeds if proxies else 0):
        passes = look(architecture, proxies[0].fidelity, seed, index, deadline=deadline)
        for proxy in proxies:
            if proxy.name in reasons:
                continue
            try:
                with torch.random.fork_rng(devices=[]):
                    found[proxy.name].append(_finite(proxy.read(passes)))
            except (TimeoutError, GasError):
                raise
            except (ValueError, ArithmeticError, RuntimeError) as error:
                reasons[proxy.name] = " ".join(str(error).split()) or type(error).__name__
    return {name: reasons.get(name) or _mean(metrics) for name, metrics in found.items()}


def look(
    architecture: Architecture, fidelity: Fidelity, seed: int, index: int, *, deadline: float | None = None
) -> Passes:
    """The passes of one of the `fidelity.seeds` networks of a design."""
    subject = fresh(
        architecture,
        resolution=fidelity.resolution,
        batch=fidelity.batch,
        seed=seed * fidelity.seeds + index,
    )
    return Passes(subject, deadline=deadline)


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"{name}: got {value}; expected a finite number")
    return {name: float(value) for name, value in metrics.items()}


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in metrics) / len(metrics) for name in metrics[0]}
