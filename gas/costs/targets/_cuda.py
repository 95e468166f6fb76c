"""What the CUDA targets share: the batch on the device, events as the clock, TF32 for whatever multiplies matrices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from gas.costs.measure import SelfTimed, conditions
from gas.costs.targets.base import TorchTarget

WARM_CALLS = 3  # libraries are loaded and convolution algorithms chosen in the first


class CudaTarget(TorchTarget):
    """PyTorch on the first visible CUDA device, in float32 with TF32 products.

    torch by itself takes TF32 for convolutions and not for matrix products, which would favour one kind of design.
    """

    @classmethod
    def unavailable(cls) -> str:
        """Needs a build of torch for CUDA, and a device."""
        if not torch.backends.cuda.is_built():
            return "torch was built without CUDA"
        return "" if torch.cuda.is_available() else "no CUDA device was found"

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """Runs of the module on the device, timed by its events."""
        module, images = self.placed(module, input_shape, "cuda")
        with conditions(self.threads), tensor_cores():
            for _ in range(WARM_CALLS):
                module(images)
            torch.cuda.synchronize()
            return EventTimed(self.step(module, images))

    @abstractmethod
    def step(self, module: nn.Module, images: torch.Tensor) -> Callable[[], object]:
        """What puts one run of the warm module on the current stream and gives its output."""

    def describe(self) -> dict[str, str | int]:
        """Adds the GPU, the versions of CUDA and cuDNN, and the precision."""
        gpu = "none" if self.unavailable() else torch.cuda.get_device_name()
        versions = {"cuda": torch.version.cuda or "none", "cudnn": torch.backends.cudnn.version() or "none"}
        return {**super().describe(), "gpu": gpu, **versions, "precision": "float32, TF32 products"}


class EventTimed(SelfTimed):
    """Runs of a step on the current stream, timed by two events around it.

    The device is idle when a run begins. So what the host takes to launch kernels counts where the device waits for
    it, as it does for whoever sends one batch and waits for the answer.
    """

    def __init__(self, step: Callable[[], object]) -> None:
        self._step = step
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def __call__(self) -> object:
        """One run; returns its output when it is there."""
        with tensor_cores():
            output = self._step()
            torch.cuda.synchronize()
        return output

    def elapsed_ms(self) -> float:
        """Milliseconds of one run on the device's clock."""
        with tensor_cores():
            torch.cuda.synchronize()
            self._start.record()
            self._step()
            self._end.record()
            self._end.synchronize()
        return self._start.elapsed_time(self._end)


@contextmanager
def tensor_cores() -> Iterator[None]:
    """Inside, products and convolutions in float32 run as TF32, and cuDNN looks for the fastest algorithm."""
    matmul, conv, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn
    before = matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark
    matmul.fp32_precision = conv.fp32_precision = "tf32"
    cudnn.benchmark = True
    try:
        yield
    finally:
        matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark = before
