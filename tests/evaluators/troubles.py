"""A proxy that does to its worker what the design's stem says; imported by workers, under the name `troubles`."""

from __future__ import annotations

import math
import os
import signal
import sys
import time

import torch

import gas
from gas.architecture import Architecture
from gas.proxies.base import Proxy, check_deadline, register


@register("troubles")
class Troubles(Proxy):
    def prepare(self) -> None:
        if self.data == "missing":
            raise ValueError("cannot\nbe read")

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        what = architecture.stem.options["what"]
        value = getattr(self, f"_{what}", lambda deadline: 1.0)(deadline)
        path = architecture.stem.options.get("file")
        if path:
            with open(path, "a") as file:
                file.write(f"{gas.__file__}\n")
        return {"troubles": value, "troubles_seed": seed, "troubles_threads": torch.get_num_threads()}

    def _raises(self, deadline: float | None) -> float:
        raise KeyError("two\nlines")

    def _leaves(self, deadline: float | None) -> float:
        sys.exit(3)

    def _nan(self, deadline: float | None) -> float:
        return math.nan

    def _allocates(self, deadline: float | None) -> float:
        return float(torch.ones(10**10)[0])

    def _grows(self, deadline: float | None) -> float:
        held = []
        while True:
            held.append(bytearray(2**26))

    def _hangs(self, deadline: float | None) -> float:
        try:
            time.sleep(3600)
        except Exception:
            time.sleep(3600)
        return 1.0

    def _naps(self, deadline: float | None) -> float:
        time.sleep(0.3)
        return 1.0

    def _watches(self, deadline: float | None) -> float:
        while True:
            time.sleep(0.01)
            check_deadline(deadline, "step 7")

    def _exits(self, deadline: float | None) -> float:
        os._exit(3)

    def _killed(self, deadline: float | None) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(3600)
        return 1.0
