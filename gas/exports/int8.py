"""What int8 costs in accuracy and gains in time, measured where a design is exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from gas.architecture import Architecture
from gas.costs.measure import measure
from gas.costs.targets.cpu_onnxruntime import CpuOnnxruntime
from gas.data import base
from gas.exports.formats import SUFFIXES

MOST_IMAGES = 256
PIXELS = 1_000_000  # of all images together, roughly: large images are few


@dataclass(frozen=True)
class Speed:
    """How long the two models take for a batch of 1 on one CPU thread, measured in turns.

    Args:
        float32_ms: Median of the float32 model, milliseconds of the thread's own time.
        int8_ms: Median of the int8 model.
        ratio: Median over rounds of int8's time divided by float32's in the same round.
        low: Lower quartile of these.
        high: Upper quartile.
        rounds: How many.
    """

    float32_ms: float
    int8_ms: float
    ratio: float
    low: float
    high: float
    rounds: int


def images_for(architecture: Architecture) -> torch.Tensor:
    """Real images on which int8 is held against float32: the bundled digits, (N, C, R, R); fewer where they are large.

    A design that does not read three channels gets their mean in each.
    """
    side = architecture.resolution
    count = max(16, min(MOST_IMAGES, PIXELS // side**2))
    small = base.load("digits", resolution=8, validation=count).val_images  # as they come: all others would be enlarged
    images = F.interpolate(small, (side, side), mode="bilinear")
    if architecture.channels == images.shape[1]:
        return images
    return images.mean(1, keepdim=True).repeat(1, architecture.channels, 1, 1)


def speed_of(architecture: Architecture, folder: Path, name: str, *, seconds: float) -> Speed:
    """Times the two ONNX files in a folder beside one another.

    Args:
        architecture: The design.
        folder: Where NAME.onnx and NAME.int8.onnx are.
        name: Name of the design's files.
        seconds: After which no round begins, once seven are done.
    """
    shape = (1, architecture.channels, architecture.resolution, architecture.resolution)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(2)).numpy()
    target = CpuOnnxruntime(batch=1, threads=1)
    runs = {}
    for part in ("onnx", "int8"):
        session = target.session((folder / f"{name}{SUFFIXES[part][0]}").read_bytes())
        runs[part] = lambda session=session: session.run(None, {"images": images})
    timed = measure(runs, seconds=seconds, threads=1, clock="cpu")
    ratios = np.asarray(timed["int8"].series) / np.asarray(timed["onnx"].series)
    low, middle, high = (float(v) for v in np.percentile(ratios, (25, 50, 75)))
    return Speed(timed["onnx"].median_ms, timed["int8"].median_ms, middle, low, high, len(ratios))
