"""What a latency target is: where a module runs, and what a latency measured there must be labelled with."""

from __future__ import annotations

import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from gas.errors import SettingError, describe
from gas.registry import Registry


class Target(ABC):
    """An engine on a device, with a batch size and a number of threads.

    Args:
        batch: Images per call.
        threads: CPU threads.
        channels_last: Whether maps lie in memory with the channels innermost; None for the target's own way.

    Class attributes:
        clock: With one thread: `cpu` where the calling thread does all the work, so that other processes do not count.
        channels_last_is: The layouts that the target can be told to use; its own way comes first.

    Raises:
        SettingError: A number is below 1, or the target has no such layout.
    """

    name: ClassVar[str] = ""
    clock: ClassVar[str] = "wall"
    channels_last_is: ClassVar[tuple[bool, ...]] = (False,)

    def __init__(self, *, batch: int = 1, threads: int = 1, channels_last: bool | None = None) -> None:
        for what, value in (("batch", batch), ("threads", threads)):
            if value < 1:
                raise SettingError(f"{what}: {describe(value, 'a whole number of at least 1')}")
        if channels_last is not None and channels_last not in self.channels_last_is:
            only = f"{self.channels_last_is[0]}, because {self.name} lays memory out itself"
            raise SettingError(f"channels_last: {describe(channels_last, only)}")
        self.batch = batch
        self.threads = threads
        self.channels_last = self.channels_last_is[0] if channels_last is None else channels_last

    @property
    def usual_clock(self) -> str:
        """The clock that latencies here are best told by: with several threads no single one's own time will do."""
        return self.clock if self.threads == 1 else "wall"

    @classmethod
    def unavailable(cls) -> str:
        """Why nothing can be measured here, in a few words; empty where it can."""
        return ""

    @abstractmethod
    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """A callable that runs the module once on a fixed random batch, and returns when the result is there.

        Whatever is done once (moving, compiling, exporting) is done here, not in the first call. Where the clocks of
        the CPU do not see the work, the callable is a `gas.costs.measure.SelfTimed`.

        Args:
            module: What to run, folded already where it shall be; may be changed (moved, compiled), so hand over a
                fresh one.
            input_shape: Shape of one input, without the batch.
        """

    def images(self, input_shape: tuple[int, ...]) -> torch.Tensor:
        """The batch: (batch, *input_shape) from a standard normal, the same in every process."""
        return torch.randn(self.batch, *input_shape, generator=torch.Generator().manual_seed(0))

    def describe(self) -> dict[str, str | int]:
        """What a latency measured here is labelled with: whatever it must not be compared across."""
        label = {"target": self.name, "batch": self.batch, "threads": self.threads, "cpu": cpu_model()}
        # Said only where it is used: latencies kept from before there was the choice stay valid.
        return label | ({"memory_format": "channels_last"} if self.channels_last else {})


class TorchTarget(Target):
    """What the engines of PyTorch have in common."""

    channels_last_is = (False, True)

    def placed(
        self, module: nn.Module, input_shape: tuple[int, ...], device: str = "cpu"
    ) -> tuple[nn.Module, torch.Tensor]:
        """The module in evaluation mode and its batch, both on the device and in the target's memory format."""
        module, images = module.eval().to(device), self.images(input_shape).to(device)
        if self.channels_last:
            module = module.to(memory_format=torch.channels_last)
            # Tokens (B, N, C) have their channels innermost anyway.
            images = images.to(memory_format=torch.channels_last) if images.ndim == 4 else images
        return module, images

    def describe(self) -> dict[str, str | int]:
        """Adds the version of torch, which brings the kernels."""
        return {**super().describe(), "torch": torch.__version__}


TARGETS: Registry[type[Target]] = Registry("target", "gas.costs.targets")


def register(name: str) -> Callable[[type[Target]], type[Target]]:
    """Class decorator: enters the target under `name`, which is also its file's name."""

    def enter(cls: type[Target]) -> type[Target]:
        cls.name = name
        return TARGETS.register(name)(cls)

    return enter


def create(name: str, *, batch: int = 1, threads: int = 1, channels_last: bool | None = None) -> Target:
    """The target of that name, to measure on this very machine.

    Raises:
        UnknownNameError: No target goes by the name.
        SettingError: This machine lacks it (says why, and names those that it has) or has fewer cores than threads; or
            see `Target`.
    """
    cls = TARGETS.get(name)
    target = cls(batch=batch, threads=threads, channels_last=channels_last)
    lacking = cls.unavailable()
    if lacking:
        here = ", ".join(each for each in TARGETS if not TARGETS.get(each).unavailable())
        raise SettingError(f"target: got {name}; expected one that this machine has: {here} ({name}: {lacking})")
    if threads > cores():
        limit = f"at most {cores()}, the cores that this process may use"
        raise SettingError(f"threads: {describe(threads, limit)}")
    return target


def cores() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
