"""ONNX Runtime on the CPU, all graph optimisations on, in float32."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from gas.costs.targets.base import Target, register

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 20
PACKAGES = ("onnx", "onnxruntime")


@register("cpu_onnxruntime")
class CpuOnnxruntime(Target):
    """ONNX Runtime on the CPU: what a design costs where it is deployed without PyTorch.

    The module is exported by tracing (`torch.onnx.export` with `dynamo=False`), which takes 0.01 to 0.3 s for a block
    against 0.5 to 1.2 s by way of `torch.export`; experiments/onnx_exporters shows how alike both run.
    """

    clock = "cpu"  # a session of one thread has no others

    @classmethod
    def unavailable(cls) -> str:
        """The packages come with `gas[export]`."""
        lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(lacking)}; pip install gas[export]" if lacking else ""

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """A run of a session on a numpy batch; to bind it beforehand gains nothing, for it is not copied anyway."""
        images = self.images(input_shape)
        session = self.session(exported(module.eval(), images))
        given = {"images": images.numpy()}
        return lambda: session.run(None, given)[0]

    def describe(self) -> dict[str, str | int]:
        """Adds the versions of ONNX Runtime and of torch, whose exporter writes the graph."""
        found = "none" if self.unavailable() else importlib.metadata.version("onnxruntime")
        return {**super().describe(), "onnxruntime": found, "torch": torch.__version__, "opset": OPSET}

    def session(self, model: bytes) -> InferenceSession:
        """A session of the target's threads."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # Waiting threads would otherwise turn in circles: they would take the cores away from whatever is measured
        # beside them. And beside one busy process two threads that spin took twice as long as two that sleep.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def exported(module: nn.Module, images: torch.Tensor) -> bytes:
    """The module as an ONNX model for exactly this shape of batch; its input is called `images`."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Shapes become constants, as they shall: a session runs one shape.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)  # the exporter's own use
        torch.onnx.export(module, (images,), file, dynamo=False, input_names=["images"], opset_version=OPSET)
    return file.getvalue()
