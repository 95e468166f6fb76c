"""PyTorch on the CPU, compiled by TorchInductor to C++, in float32."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from gas.costs.measure import conditions
from gas.costs.targets.base import TorchTarget, register

_number = itertools.count()


@register("cpu_compiled")
class CpuCompiled(TorchTarget):
    """PyTorch with `torch.compile` as it comes: the backend inductor, its default mode, static shapes, one whole graph.

    A design takes a minute to compile the first time, and seconds where inductor's cache on disk knows its kernels.
    """

    clock = "cpu"

    @classmethod
    def unavailable(cls) -> str:
        """Inductor hands its kernels to a C++ compiler."""
        return "" if _compiler() else f"no C++ compiler was found; install {_wanted()}, or name one by CXX"

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        """A call of the compiled module; it is compiled here, for the mode and the threads that it will run with."""
        module, images = self.placed(module, input_shape)

        def forward(x: torch.Tensor) -> torch.Tensor:
            return module(x)

        # torch keeps what it compiled by code object, eight forms of each, and runs the ninth uncompiled. Designs
        # share the code of their classes; with a code object of its own, none is the ninth of anything.
        forward.__code__ = forward.__code__.replace(co_name=f"forward_{next(_number)}")
        compiled = torch.compile(forward, fullgraph=True, dynamic=False)
        with conditions(self.threads), warnings.catch_warnings():
            # A module of torch's own says so when inductor imports it.
            warnings.filterwarnings("ignore", "`torch.jit.script_method` is deprecated", DeprecationWarning)
            compiled(images)
        return lambda: compiled(images)

    def describe(self) -> dict[str, str | int]:
        """Adds the version of the C++ compiler."""
        return {**super().describe(), "compiler": _version(_compiler())}


def _wanted() -> str:
    return os.environ.get("CXX") or "g++"


def _compiler() -> str:
    """Path of the compiler that inductor will call; empty where there is none."""
    return shutil.which(_wanted()) or ""


@cache
def _version(path: str) -> str:
    """First line of what the compiler says of itself."""
    if not path:
        return "none"
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return told.partition("\n")[0].strip()
