"""Lets torch say that there is a GPU; imported by workers, which then need none to be given to them by Ray."""

from __future__ import annotations

import torch

from gas.architecture import Architecture
from gas.proxies.base import Proxy, register

torch.cuda.is_available = lambda: True


@register("pretend_gpu")
class PretendGpu(Proxy):
    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        return {"pretend_gpu": float(self.device == "cuda")}
