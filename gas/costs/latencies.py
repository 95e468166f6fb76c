"""Latency of whole designs, measured beside one another on a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gas.architecture import Architecture
from gas.costs.measure import Timing, measure
from gas.costs.targets import create
from gas.model import build, fuse


def latency(
    architectures: Sequence[Architecture],
    *,
    target: str = "cpu_eager",
    batch: int = 1,
    threads: int = 1,
    channels_last: bool | None = None,
    seconds: float = 10.0,
    tolerance: float = 0.02,
    clock: str = "wall",
    seed: int = 0,
    watch: Callable[[str, float], object] | None = None,
) -> list[Timing]:
    """Latency of each design for one batch, in the order given; interleaved, so that their ratios mean something.

    Designs are measured as they are deployed: folded for inference (`gas.fuse`).

    Args:
        architectures: The designs; they are built with random weights and held in memory together.
        target: Name of a latency target.
        batch: Images per call.
        threads: CPU threads.
        channels_last: Memory format of maps; None for the target's own.
        seconds: Time limit of the whole measurement, after warm-up; ends sooner when all medians are known to
            `tolerance`.
        tolerance: See `measure`.
        clock: `wall`, or `cpu` (see `measure`) to compare designs while other processes compute.
        seed: Of the weights, the images and the order of measuring.
        watch: Called with what is being done and the share of it that is done, 0 to 1.

    Raises:
        UnknownNameError: No target goes by the name.
        SettingError: This machine lacks the target or the threads, or a number is out of its range.
    """
    device = create(target, batch=batch, threads=threads, channels_last=channels_last)
    callables, count = {}, len(architectures)
    with torch.random.fork_rng(devices=[]):
        for number, design in enumerate(architectures):
            if watch is not None:
                watch(f"preparing {design.name or design.id}", number / count)
            module = fuse(build(design, seed=seed))
            shape = (design.channels, design.resolution, design.resolution)
            callables[str(number)] = device.prepare(module, shape)

    def rounds(done: int, passed: float) -> None:
        watch(f"measuring, {done} rounds", min(1.0, passed / seconds) if seconds else 1.0)

    timings = measure(
        callables,
        seconds=seconds,
        tolerance=tolerance,
        threads=threads,
        clock=clock,
        seed=seed,
        watch=None if watch is None else rounds,
    )
    return [timings[str(number)] for number in range(count)]
