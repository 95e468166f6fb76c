"""gas: generative architecture search for fast vision transformers.

space = gas.load_space("turbovit.yaml")        a search space; .size(), .sample(n, seed), .decisions
design = gas.load("hiera_tiny")                a design of the zoo, or from a file
gas.cost(design)                               exact macs and params
gas.memory(design, batch=16)                   weights, and the peak of a forward pass, in bytes
model = gas.build(design)                      a torch.nn.Module
fast = gas.fuse(model)                         the same for inference: norms and branches folded into convolutions
run = gas.search(space, budget=40, out="runs/a")
run = gas.open_run("runs/a"); run.front()      the Pareto front as a pandas frame
gas.export(run.architecture("best"), "out")    a standalone PyTorch file
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that holds it; imported when first asked for, so that `import gas` costs nothing.
_HOMES = {
    "Architecture": "gas.architecture",
    "GasError": "gas.errors",
    "SearchSpace": "gas.space",
    "build": "gas.model",
    "cost": "gas.costs",
    "export": "gas.run",
    "fuse": "gas.model",
    "load": "gas.space",
    "load_space": "gas.space",
    "memory": "gas.costs",
    "open_run": "gas.run",
    "search": "gas.session",
}

__all__ = [
    "Architecture",
    "GasError",
    "SearchSpace",
    "build",
    "cost",
    "export",
    "fuse",
    "load",
    "load_space",
    "memory",
    "open_run",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
