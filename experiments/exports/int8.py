"""Compares ways to int8 on the designs that are named: error, agreement, size and time, each beside float32.

    PYTHONPATH=. python experiments/exports/int8.py turbovit deit_small efficientvit_m2 fastvit_t8

torchao is tried where it is installed.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from gas.costs.measure import measure
from gas.costs.targets.cpu_onnxruntime import CpuOnnxruntime
from gas.exports.formats import save_onnx
from gas.model import build, fuse
from gas.space import load

WAYS = {
    "ONNX Runtime, by channel": {"op_types_to_quantize": ["MatMul", "Gemm"], "per_channel": True},
    "ONNX Runtime, by tensor": {"op_types_to_quantize": ["MatMul", "Gemm"]},
    "ONNX Runtime, convolutions too": {},
}
IMAGES, SECONDS = 16, 8.0


def compare(name: str, folder: Path) -> None:
    """Prints a line for each way."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    design = load(name)
    model = fuse(build(design, seed=0))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(IMAGES, design.channels, design.resolution, design.resolution, generator=generator)
    with torch.inference_mode():
        wanted = model(x)
    target = CpuOnnxruntime(batch=1, threads=1)
    one, float32 = x[:1].numpy(), folder / "float32.onnx"
    save_onnx(model, x[:3], float32)
    session = target.session(float32.read_bytes())
    runs = {"eager, float32": lambda: model(x[:1]), "ONNX Runtime, float32": lambda: session.run(None, {"images": one})}
    told = {"ONNX Runtime, float32": f"{float32.stat().st_size / 1e6:.2f} MB"}
    for way, options in WAYS.items():
        path = folder / "int8.onnx"
        quantize_dynamic(float32, path, weight_type=QuantType.QInt8, **options)
        quantised = target.session(path.read_bytes())
        scores = torch.from_numpy(quantised.run(None, {"images": x.numpy()})[0])
        told[way] = f"{error(scores, wanted)}, {path.stat().st_size / 1e6:.2f} MB"
        runs[way] = lambda quantised=quantised: quantised.run(None, {"images": one})
    for way, module in in_torch(model).items():
        with torch.inference_mode():
            told[way] = error(module(x), wanted)
        runs[way] = lambda module=module: module(x[:1])
    for way, timing in measure(runs, seconds=SECONDS, threads=1, clock="cpu").items():
        quartiles = f"quartiles {timing.q1_ms:.2f} to {timing.q3_ms:.2f}"
        print(f"{name}: {way}: {timing.median_ms:.2f} ms ({quartiles}); {told.get(way, '')}", flush=True)


def in_torch(model: nn.Module) -> dict[str, nn.Module]:
    """The model in 8 bits by torch, and by torchao where it is there."""
    found = {
        "torch quantize_dynamic": torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8
        )
    }
    if importlib.util.find_spec("torchao"):
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        found["torchao"] = copy.deepcopy(model)
        quantize_(found["torchao"], Int8DynamicActivationInt8WeightConfig())
    return found


def error(scores: torch.Tensor, wanted: torch.Tensor) -> str:
    """The norm of the differences over that of the scores, and the share of images with the same greatest score."""
    same = (scores.argmax(1) == wanted.argmax(1)).float().mean()
    return f"error {float((scores - wanted).norm() / wanted.norm()):.3f}, same greatest score {float(same):.2f}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        for word in sys.argv[1:]:
            compare(word, Path(place))
