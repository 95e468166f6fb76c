"""What a latency target is: where a module runs, and what a latency measured there must be labelled with."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ClassVar

from torch import nn

from gas.errors import SettingError, describe
from gas.registry import Registry


class Target(ABC):
    """An engine on a device, with a batch size and a number of threads.

    Args:
        batch: Images per call.
        threads: CPU threads.

    Class attributes:
        clock: With one thread: `cpu` where the calling thread does all the work, so that other processes do not count.

    Raises:
        SettingError: Either is below 1.
    """

    name: ClassVar[str] = ""
    clock: ClassVar[str] = "wall"

    def __init__(self, *, batch: int = 1, threads: int = 1) -> None:
        for what, value in (("batch", batch), ("threads", threads)):
            if value < 1:
                raise SettingError(f"{what}: {describe(value, 'a whole number of at least 1')}")
        self.batch = batch
        self.threads = threads

    @abstractmethod
    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """A callable that runs the module once on a fixed random batch, and returns when the result is there.

        Args:
            module: What to run, folded already where it shall be; may be changed (moved, compiled), so hand over a
                fresh one.
            input_shape: Shape of one input, without the batch.
        """

    def describe(self) -> dict[str, str | int]:
        """What a latency measured here is labelled with: whatever it must not be compared across."""
        return {"target": self.name, "batch": self.batch, "threads": self.threads, "cpu": cpu_model()}


TARGETS: Registry[type[Target]] = Registry("target", "gas.costs.targets")


def register(name: str) -> Callable[[type[Target]], type[Target]]:
    """Class decorator: enters the target under `name`, which is also its file's name."""

    def enter(cls: type[Target]) -> type[Target]:
        cls.name = name
        return TARGETS.register(name)(cls)

    return enter


@cache
def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the standard library's answer is all there is
    return platform.processor() or platform.machine()
