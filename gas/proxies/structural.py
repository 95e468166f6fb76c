"""Scores that are counts of the design itself: what every other score has to beat."""

from __future__ import annotations

from abc import abstractmethod

from gas.architecture import Architecture
from gas.proxies.base import Proxy, check_deadline


class Structural(Proxy):
    """An exact count of the design at its own size. Neither `data` nor `fidelity` is read, and nothing is drawn."""

    @abstractmethod
    def count(self, architecture: Architecture) -> float:
        """The score.

        Raises:
            DesignError: The design cannot stand.
        """

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """See `Proxy.score`; the same for every seed."""
        check_deadline(deadline, "the count")
        return {self.name: float(self.count(architecture))}
