"""PyTorch on the CPU, operator by operator, in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gas.costs.targets.base import Target, register


@register("cpu_eager")
class CpuEager(Target):
    """PyTorch in eager mode on the CPU.

    At batch 1 the time of small designs is mostly the dispatch of operators, not their arithmetic.
    """

    clock = "cpu"

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """A forward pass in evaluation mode; the caller holds `torch.inference_mode`."""
        generator = torch.Generator().manual_seed(0)
        batch = torch.randn(self.batch, *input_shape, generator=generator)
        module = module.eval()
        return lambda: module(batch)

    def describe(self) -> dict[str, str | int]:
        """Adds the version of torch, which brings the kernels."""
        return {**super().describe(), "torch": torch.__version__}
