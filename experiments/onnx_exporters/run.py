"""Do torch's two ONNX exporters give graphs that ONNX Runtime runs alike, and what does each take?

Whole designs and pieces of designs are exported by tracing (`dynamo=False`, what the target cpu_onnxruntime does) and
by torch.export (`dynamo=True`), and the two sessions are measured in turns. Writes ratios.csv beside this file.

    PYTHONPATH=. python experiments/onnx_exporters/run.py
"""

from __future__ import annotations

import csv
import io
import random
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gas.costs import ratio
from gas.costs.measure import measure
from gas.costs.pieces import design_pieces
from gas.costs.targets import create
from gas.costs.targets.cpu_onnxruntime import OPSET, exported
from gas.model import build, fuse
from gas.space import load

HERE = Path(__file__).parent
DESIGNS = ("turbovit", "hiera_tiny", "fastvit_t8", "efficientvit_m1", "mobilevit_xxs", "swiftformer_xs")
TAKEN_APART = ("turbovit", "efficientvit_m1", "swin_tiny", "edgenext_small")
PIECES = 6  # of each


def by_export(module: nn.Module, images: torch.Tensor) -> bytes:
    """The module as an ONNX model by way of torch.export."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (images,), file, dynamo=True, input_names=["images"], opset_version=OPSET, verbose=False
        )
    return file.getvalue()


def modules() -> Iterator[tuple[str, str, nn.Module, tuple[int, ...]]]:
    """Design, part of it, its module, and the shape of one input."""
    for name in DESIGNS:
        design = load(name)
        yield name, "whole", fuse(build(design, seed=0)), (design.channels, design.resolution, design.resolution)
    for name in TAKEN_APART:
        different = list({piece.key: piece for piece in design_pieces(load(name))}.values())
        for piece in random.Random(0).sample(different, PIECES):
            torch.manual_seed(0)
            yield name, piece.kind, fuse(piece.part.build()), piece.shape


def row(name: str, part: str, module: nn.Module, shape: tuple[int, ...]) -> dict[str, object]:
    """Both exports of one module, and how they run."""
    target = create("cpu_onnxruntime")
    images = target.images(shape)
    given, runs, took = {"images": images.numpy()}, {}, {}
    for way, export in (("trace", exported), ("export", by_export)):
        start = time.perf_counter()
        session = target.session(export(module.eval(), images))
        took[way] = time.perf_counter() - start
        runs[way] = lambda session=session: session.run(None, given)[0]
    times = measure(runs, seconds=4.0, tolerance=0.01, clock="cpu")
    beside = ratio(times["trace"], times["export"])
    with torch.inference_mode():
        wanted = module(images).numpy()
    return {
        "design": name,
        "part": part,
        "input": "x".join(map(str, shape)),
        "trace_prepare_s": f"{took['trace']:.2f}",
        "export_prepare_s": f"{took['export']:.2f}",
        "trace_ms": f"{times['trace'].median_ms:.3f}",
        "export_ms": f"{times['export'].median_ms:.3f}",
        "ratio": f"{beside.value:.3f}",
        "low": f"{beside.low:.3f}",
        "high": f"{beside.high:.3f}",
        **{
            f"{way}_differs_by": f"{np.abs(run() - wanted).max() / np.abs(wanted).max():.0e}"
            for way, run in runs.items()
        },
    }


def main() -> None:
    """Exports, measures, writes."""
    rows = [row(*each) for each in modules()]
    with (HERE / "ratios.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for each in rows:
        print(*each.values())
    values = [float(each["ratio"]) for each in rows]
    print("ratio trace / export, quartiles and ends:", np.percentile(values, (0, 25, 50, 75, 100)).round(3))


if __name__ == "__main__":
    main()
