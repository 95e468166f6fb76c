"""A proxy with rungs that costs microseconds, and whose states say whose they are: a wrong one is a failure."""

from __future__ import annotations

import json
import os
import time

from small_search import score

from gas.architecture import Architecture
from gas.proxies import PROXIES
from gas.proxies.base import Proxy

NAME = "stairs"
STEPS = 4
STATE_BYTES = 20_000


class Stairs(Proxy):
    """A score that nears its end from below with every step.

    `STAIRS_SECONDS` in the environment is slept per rung, `STAIRS_BYTES` is what a state takes.
    """

    name = NAME
    resumable = True

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        return self.resume(architecture, seed=seed, deadline=deadline)[0]

    def resume(
        self, architecture: Architecture, state: bytes = b"", *, seed: int = 0, deadline: float | None = None
    ) -> tuple[dict[str, float], bytes]:
        time.sleep(float(os.environ.get("STAIRS_SECONDS", "0")))
        steps = self.fidelity.steps
        if state:
            left = json.loads(state)
            if left["id"] != architecture.id or not left["steps"] < steps:
                raise ValueError(f"got the state of {left['id']} after {left['steps']} steps")
        told = {
            "id": architecture.id,
            "steps": steps,
            "weights": "x" * int(os.environ.get("STAIRS_BYTES", STATE_BYTES)),
        }
        return {NAME: value(architecture, steps)}, json.dumps(told).encode()


def value(architecture: Architecture, steps: int) -> float:
    """What the proxy says of a design after so many steps."""
    return score(architecture) * (1 - 0.5**steps)


def enter() -> None:
    """Makes the proxy known in this process."""
    PROXIES.names()
    PROXIES.register(NAME)(Stairs)
