"""Proxies whose work is known beforehand, and which write down when they began and ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gas.architecture import Architecture
from gas.proxies.base import Proxy, register

FOLDER, SECONDS = "RAY_SCALING_FOLDER", "RAY_SCALING_SECONDS"
"""Environment variables that say where to write, and how long a candidate takes."""


class Stub(Proxy):
    """Takes as long as it is told, in whatever way a subclass passes the time."""

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """A number that depends on the design alone."""
        begin = time.monotonic()
        self._pass(begin + float(os.environ[SECONDS]))
        with open(Path(os.environ[FOLDER]) / str(os.getpid()), "a", encoding="ascii") as file:
            file.write(f"{begin} {time.monotonic()}\n")
        return {self.name: float(int(architecture.id, 16) % 1009)}

    def _pass(self, end: float) -> None:
        raise NotImplementedError


@register("burns")
class Burns(Stub):
    """Keeps a core busy."""

    def _pass(self, end: float) -> None:
        while time.monotonic() < end:
            sum(range(1000))


@register("sleeps")
class Sleeps(Stub):
    """Stands for work elsewhere."""

    def _pass(self, end: float) -> None:
        time.sleep(max(end - time.monotonic(), 0.0))
