"""What inductor compiles computes what eager does, and is compiled before the first call that counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from export_designs import folding
from hiera_parity import tiny
from torch import nn

from gas.architecture import Architecture
from gas.costs.targets import create
from gas.costs.targets.cpu_compiled import CpuCompiled
from gas.errors import SettingError
from gas.model import build, fuse


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert CpuCompiled.unavailable() == "no C++ compiler was found; install g++, or name one by CXX"
    assert CpuCompiled().describe()["compiler"] == "none"
    with pytest.raises(
        SettingError, match=r"got cpu_compiled; expected one that .*cpu_eager.*no C\+\+ compiler was found"
    ):
        create("cpu_compiled")


def test_the_compiler_that_cxx_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho 'other compiler 7.1'\necho 'more words'\n")
    other.chmod(0o755)
    monkeypatch.setenv("CXX", str(other))
    assert CpuCompiled.unavailable() == ""
    assert CpuCompiled().describe()["compiler"] == "other compiler 7.1"


@pytest.mark.slow
@pytest.mark.parametrize("design", [tiny(), folding()], ids=["attention", "convolutions"])
def test_the_outputs_are_those_of_eager(design: Architecture) -> None:
    module = fuse(build(design, seed=0))
    shape = (design.channels, design.resolution, design.resolution)
    run = create("cpu_compiled", batch=2).prepare(fuse(module), shape)
    with torch.inference_mode():
        found, expected = run(), create("cpu_eager", batch=2).prepare(module, shape)()
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.slow
def test_each_is_compiled_once_and_beforehand_however_many_there_are() -> None:
    passes = []

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.linear = nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not torch.compiler.is_compiling():
                passes.append(x.shape)
            return self.linear(x).relu()

    # Past its limit of forms of one piece of code, torch would go on uncompiled; here it must say so instead.
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        runs = [create("cpu_compiled").prepare(Block(width), (5, width)) for width in (8, 16, 24)]
    torch._dynamo.utils.counters.clear()
    with torch.inference_mode():
        shapes = [tuple(run().shape) for run in runs + runs]
    assert shapes == [(1, 5, 8), (1, 5, 16), (1, 5, 24)] * 2
    assert passes == []  # none of them ran uncompiled
    assert not torch._dynamo.utils.counters["stats"]  # and none was compiled anew
