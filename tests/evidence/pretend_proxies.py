"""Proxies that score at once, some of them badly; registered for one test alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from contributions import registered

from gas.architecture import Architecture
from gas.passes import Passes
from gas.plan import plan
from gas.proxies import PROXIES, Proxy, TrainingFree
from gas.proxies.base import register


class Widest(Proxy):
    """The width of the last stage; no number where it is 64 channels or fewer."""

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        width = architecture.dims[-1]
        return {"widest": width if width > 64 else math.nan, "widest_seed": seed}


class Passing(TrainingFree):
    """The macs, as a score that shares passes; refuses designs of less than 2 million."""

    def read(self, passes: Passes) -> dict[str, float]:
        if passes.subject.macs < 2e6:
            raise ValueError("too\nlittle")
        return {"passing": passes.subject.macs, "passing_twice": 2 * passes.subject.macs}


class Trainee(Proxy):
    """The params, as a score that trains."""

    needs_training = True

    def prepare(self) -> None:
        """Needs no images."""

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        return {"trainee": plan(architecture).cost.params}


@contextmanager
def pretend_proxies() -> Iterator[None]:
    """Within it, `widest`, `passing` and `trainee` are proxies."""
    with registered(PROXIES, register, "gas.proxies", widest=Widest, passing=Passing, trainee=Trainee):
        yield
