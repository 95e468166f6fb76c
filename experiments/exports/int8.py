"""Compares ways to int8 on some designs: error, agreement, size and time, each beside float32; a row each in int8.csv.

    PYTHONPATH=. python experiments/exports/int8.py turbovit deit_small efficientvit_m2 fastvit_t8

All ways take turns on one thread. `ratio` is the median of the ratios to float32 in the same engine, round by round.
torchao is tried where it is installed.
"""

from __future__ import annotations

import copy
import csv
import importlib.util
import logging
import statistics
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
TORCH, ORT = "torch, float32", "ONNX Runtime, float32"
IMAGES, SECONDS = 16, 8.0
OUT = Path(__file__).parent / "int8.csv"
COLUMNS = ("design", "way", "ms", "q1_ms", "q3_ms", "ratio", "error", "agreement", "mb")


def compare(name: str, folder: Path) -> list[dict[str, object]]:
    """A row for each way."""
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
    runs = {TORCH: lambda: model(x[:1]), ORT: lambda: session.run(None, {"images": one})}
    found = {ORT: {"mb": mb(float32)}}
    for way, options in WAYS.items():
        path = folder / "int8.onnx"
        quantize_dynamic(float32, path, weight_type=QuantType.QInt8, **options)
        quantised = target.session(path.read_bytes())
        scores = torch.from_numpy(quantised.run(None, {"images": x.numpy()})[0])
        found[way] = errors(scores, wanted) | {"mb": mb(path)}
        runs[way] = lambda quantised=quantised: quantised.run(None, {"images": one})
    for way, module in in_torch(model).items():
        with torch.inference_mode():
            found[way] = errors(module(x), wanted)
        runs[way] = lambda module=module: module(x[:1])
    with torch.inference_mode():
        timings = measure(runs, seconds=SECONDS * len(runs), threads=1, clock="cpu")
    rows = []
    for way, timing in timings.items():
        base = timings[ORT if way == ORT or way in WAYS else TORCH]
        ratio = statistics.median(a / b for a, b in zip(timing.series, base.series, strict=True))
        row = {"design": name, "way": way, "ms": f"{timing.median_ms:.3f}", "q1_ms": f"{timing.q1_ms:.3f}"}
        rows.append(row | {"q3_ms": f"{timing.q3_ms:.3f}", "ratio": f"{ratio:.3f}"} | found.get(way, {}))
    return rows


def mb(path: Path) -> str:
    """Size of a file."""
    return f"{path.stat().st_size / 1e6:.2f}"


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


def errors(scores: torch.Tensor, wanted: torch.Tensor) -> dict[str, str]:
    """The norm of the differences over that of the scores, and the share of images with the same greatest score."""
    same = (scores.argmax(1) == wanted.argmax(1)).float().mean()
    return {"error": f"{float((scores - wanted).norm() / wanted.norm()):.4f}", "agreement": f"{float(same):.2f}"}


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place, OUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for word in sys.argv[1:]:
            for line in compare(word, Path(place)):
                writer.writerow(line)
                print(*line.values(), flush=True)
