"""Latency of whole designs, measured beside one another on a target."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gas.architecture import Architecture
from gas.costs.measure import Timing, measure
from gas.costs.targets import TARGETS
from gas.model import build, fuse


def latency(
    architectures: Sequence[Architecture],
    *,
    target: str = "cpu_eager",
    batch: int = 1,
    threads: int = 1,
    seconds: float = 10.0,
    tolerance: float = 0.02,
    clock: str = "wall",
    seed: int = 0,
) -> list[Timing]:
    """Latency of each design for one batch, in the order given; interleaved, so that their ratios mean something.

    Designs are measured as they are deployed: folded for inference (`gas.fuse`).

    Args:
        architectures: The designs; they are built with random weights and held in memory together.
        target: Name of a latency target.
        batch: Images per call.
        threads: CPU threads.
        seconds: Time limit of the whole measurement, after warm-up; ends sooner when all medians are known to
            `tolerance`.
        tolerance: See `measure`.
        clock: `wall`, or `cpu` (see `measure`) to compare designs while other processes compute.
        seed: Of the weights, the images and the order of measuring.
    """
    device = TARGETS.get(target)(batch=batch, threads=threads)
    callables = {}
    with torch.random.fork_rng(devices=[]):
        for number, design in enumerate(architectures):
            module = fuse(build(design, seed=seed))
            shape = (design.channels, design.resolution, design.resolution)
            callables[str(number)] = device.prepare(module, shape)
    timings = measure(callables, seconds=seconds, tolerance=tolerance, threads=threads, clock=clock, seed=seed)
    return [timings[str(number)] for number in range(len(architectures))]
