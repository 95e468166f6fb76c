"""The gradients of one batch, worked out by several Ray workers, each on a part of it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gas.architecture import Architecture
from gas.banks import Bank
from gas.banks.training import LocalGradients
from gas.data import ImageData
from gas.errors import RunError, SettingError, describe
from gas.evaluators._cluster import connect
from gas.evaluators._work import reason_of


class _Part:
    """What runs in a worker's process: the images stay there, the bank comes anew in every step."""

    def __init__(self, data: ImageData, settings: Mapping[str, Any]) -> None:
        with contextlib.suppress(ValueError):  # Ctrl-C in a terminal is for the driver to hear
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        torch.set_num_threads(1)
        self._gradients = LocalGradients(data, **settings)

    def gradients(
        self, bank: Bank, designs: Sequence[Architecture], chosen: Tensor, seed: int, share: float
    ) -> tuple[dict[str, Tensor], list[float]]:
        """See `gas.banks.training.Gradients`."""
        return self._gradients(bank, designs, chosen, seed, share)


class DataParallel:
    """Gradients that are means over workers, weighed by their images; a context manager that ends the workers.

    They are those of one process but for rounding, where no norm reads the batch: batch norm reads each worker's part.

    Args:
        data: The images, which every worker keeps.
        workers: How many.
        address: Of a running Ray cluster; None for one on this machine.
        **settings: Of `LocalGradients`: seed, strength, smoothing.

    Raises:
        SettingError: There are not so many CPUs, or no cluster answers.
    """

    def __init__(self, data: ImageData, workers: int, address: str | None = None, **settings: Any) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise SettingError(f"workers: {describe(workers, 'a whole number of at least 1')}")
        self._ours = connect(workers, address)
        import ray

        self._ray: Any = ray
        shared = ray.put(data)
        actor = ray.remote(num_cpus=1, max_restarts=0)(_Part)
        self._workers = [actor.remote(shared, settings) for _ in range(workers)]

    def __call__(
        self, bank: Bank, designs: Sequence[Architecture], chosen: Tensor, seed: int, share: float
    ) -> tuple[dict[str, Tensor], list[float]]:
        """See `gas.banks.training.Gradients`. RunError where a worker is lost: the last checkpoint is there."""
        parts = [part for part in chosen.chunk(len(self._workers)) if len(part)]
        shared = self._ray.put(bank)
        pairs = zip(self._workers, parts, strict=False)  # fewer parts where there are fewer images than workers
        calls = [worker.gradients.remote(shared, designs, part, seed, share) for worker, part in pairs]
        try:
            found = self._ray.get(calls)
        except self._ray.exceptions.RayError as error:
            raise RunError(f"train-bank: a worker was lost: {reason_of(error)}; go on with --resume") from error
        summed: dict[str, Tensor] = {}
        losses = [0.0] * len(designs)
        for part, (gradients, own) in zip(parts, found, strict=True):
            weight = len(part) / len(chosen)
            losses = [loss + weight * mine for loss, mine in zip(losses, own, strict=True)]
            for key, gradient in gradients.items():
                summed[key] = gradient * weight if key not in summed else summed[key].add_(gradient, alpha=weight)
        return summed, losses

    def close(self) -> None:
        """Ends the workers; may be called again."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []
        if self._ours:
            self._ray.shutdown()
            self._ours = False

    def __enter__(self) -> DataParallel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
