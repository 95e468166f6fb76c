"""PyTorch on the CPU, operator by operator, in float32."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gas.costs.targets.base import TorchTarget, register


@register("cpu_eager")
class CpuEager(TorchTarget):
    """PyTorch in eager mode on the CPU.

    At batch 1 the time of small designs is mostly the dispatch of operators, not their arithmetic.
    """

    clock = "cpu"

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """A forward pass in evaluation mode; the caller holds `torch.inference_mode`."""
        module, images = self.placed(module, input_shape)
        return lambda: module(images)
