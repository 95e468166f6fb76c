"""PyTorch on a CUDA device, recorded once as a CUDA graph and replayed, in float32 with TF32 products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gas.costs.targets._cuda import WARM_CALLS, CudaTarget
from gas.costs.targets.base import register


@register("cuda_graphs")
class CudaGraphs(CudaTarget):
    """The kernels of PyTorch's eager mode as one CUDA graph: one launch for the whole design.

    No CUDA device was at hand where this was written: the tests run it against a stand-in for torch.cuda only.
    """

    def step(self, module: nn.Module, images: torch.Tensor) -> Callable[[], object]:
        """A replay; the output stands where it stood when the graph was recorded."""
        side = torch.cuda.Stream()  # as torch asks for: warm on a stream of its own, before the recording
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_CALLS):
                module(images)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = module(images)

        def replay() -> object:
            graph.replay()
            return output

        return replay
