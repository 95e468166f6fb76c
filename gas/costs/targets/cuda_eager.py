"""PyTorch on a CUDA device, operator by operator, in float32 with TF32 products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gas.costs.targets._cuda import CudaTarget
from gas.costs.targets.base import register


@register("cuda_eager")
class CudaEager(CudaTarget):
    """PyTorch in eager mode on a CUDA device; at batch 1 mostly the launching of kernels.

    No CUDA device was at hand where this was written: the tests run it against a stand-in for torch.cuda only.
    """

    def step(self, module: nn.Module, images: torch.Tensor) -> Callable[[], object]:
        """A forward pass."""
        return lambda: module(images)
