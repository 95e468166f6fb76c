"""What ONNX Runtime computes is what PyTorch computes, for every pattern and for every family of the zoo."""

from __future__ import annotations

import importlib.util
import os
import threading

import numpy as np
import onnxruntime
import pytest
import torch
from export_designs import folding
from hiera_parity import tiny
from torch import nn

from gas.architecture import Architecture
from gas.costs.targets import create
from gas.costs.targets.cpu_onnxruntime import CpuOnnxruntime
from gas.model import build, fuse
from gas.patterns import PATTERNS
from gas.space import load
from gas.testing.cases import designs

FAMILIES = (
    *("cmt_ti", "convnext_tiny", "deit_small_fastv", "edgenext_small", "efficientformerv2_s0", "efficientmod_xxs"),
    *("efficientnet_b0", "efficientvit_m0", "fastervit_0", "fastvit_t8", "fmvit", "hiera_tiny", "mobilenetv3_large"),
    *("mobilevit_xxs", "mobilevitv2_050", "parformer_b1", "qna_vit_t", "shvit_s1", "supervit_deit_small_k07"),
    *("swiftformer_xs", "swin_tiny", "turbovit"),
)


def difference(design: Architecture, batch: int = 2) -> float:
    """Greatest difference between the outputs of the two engines, as a share of the greatest output."""
    model = build(design, seed=0)
    for parameter in model.parameters():
        if not parameter.any():  # what begins at zero would keep whole branches out of the comparison
            nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    module = fuse(model)
    shape = (design.channels, design.resolution, design.resolution)
    eager, onnx = create("cpu_eager", batch=batch), create("cpu_onnxruntime", batch=batch)
    run = onnx.prepare(module, shape)
    with torch.inference_mode():
        expected = eager.prepare(module, shape)().numpy()
        found = run()
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("design", [tiny(), folding()], ids=["attention", "convolutions"])
def test_the_outputs_are_those_of_eager(design: Architecture, batch: int) -> None:
    assert difference(design, batch) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_the_zoo_runs(name: str) -> None:
    assert difference(load(name)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS.names())
def test_random_designs_of_every_pattern_run(name: str) -> None:
    for design in designs(PATTERNS.get(name), 2, seed=5):
        assert difference(design) < 1e-4, design


@pytest.mark.slow
def test_preparing_within_inference_mode_is_the_same() -> None:
    target, module = create("cpu_onnxruntime", batch=2), fuse(build(tiny(), seed=0))
    first = target.prepare(module, (3, 32, 32))()
    with torch.inference_mode():
        second = target.prepare(module, (3, 32, 32))()
    assert np.array_equal(first, second)


def native_threads() -> int:
    """Threads of this process, those that Python does not know included."""
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_a_session_of_one_thread_has_no_other() -> None:
    module, images = fuse(build(tiny(), seed=0)), torch.zeros(1, 3, 32, 32)
    create("cpu_onnxruntime").prepare(module, (3, 32, 32))()  # torch and ONNX Runtime start what they share
    before, python = native_threads(), threading.active_count()
    kept = [create("cpu_onnxruntime").prepare(module, tuple(images.shape[1:])) for _ in range(3)]
    assert native_threads() == before
    kept.append(CpuOnnxruntime(threads=2).prepare(module, (3, 32, 32)))
    assert native_threads() == before + 1  # the second of two: the calling thread is the first
    assert threading.active_count() == python


def test_the_session_is_set_as_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda model, options, **rest: seen.append(options) or real(model, options, **rest),
    )
    CpuOnnxruntime(threads=2).prepare(nn.ReLU(), (4,))()
    (options,) = seen
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    assert CpuOnnxruntime.unavailable() == "not installed: onnxruntime; pip install gas[export]"
    assert CpuOnnxruntime().describe()["onnxruntime"] == "none"


def test_the_label() -> None:
    label = CpuOnnxruntime(batch=4).describe()
    assert label["onnxruntime"] == onnxruntime.__version__
    assert label["torch"] == torch.__version__
