"""The networks of truth.csv as modules: designs of the zoo, else the public code in timm; no weights are loaded."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

import gas
from gas.estimates.structure import structure, structure_of
from gas.passes import Subject, fresh
from gas.passes.subject import CLASSES, calibrate, neutralise

HERE = Path(__file__).parent
SIDES, BATCH = (64, 96, 128), 16  # of the images for scores, the smallest that the network stands
_LIBRARIES: list[torch.library.Library] = []


def truth() -> list[dict[str, str]]:
    """Rows of truth.csv."""
    with (HERE / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def timm() -> ModuleType:
    """Timm, also where torchvision has no compiled half for this torch (timm needs its Python half alone)."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)
    return importlib.import_module("timm")


def counts(row: dict[str, str]) -> dict[str, float]:
    """What `gas.estimates` counts on a network, with 1,000 classes."""
    if row["zoo"]:
        return structure_of(gas.load(row["zoo"]))
    with torch.device("meta"):
        module = timm().create_model(row["timm"], pretrained=False, num_classes=1000)
    return structure(module, int(row["resolution"]))


def subject(row: dict[str, str], seed: int) -> Subject:
    """A network before small Gaussian images, as scores see it; blocks are not looked for in public code."""
    if row["zoo"]:
        return fresh(gas.load(row["zoo"]), resolution=SIDES[0], batch=BATCH, seed=seed)
    network, side = _small(row, seed)
    generator = torch.Generator().manual_seed(seed)
    batch = max(8, round(BATCH * (SIDES[0] / side) ** 2))
    images = torch.randn(batch, 3, side, side, generator=generator)
    neutralise(network, generator)
    _unmuted(network)
    calibrate(network, images)
    return Subject(network, [], images, 0, sum(p.numel() for p in network.parameters()), seed)


def _small(row: dict[str, str], seed: int) -> tuple[nn.Module, int]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for side in (*SIDES, int(row["resolution"])):
            for more in ({"img_size": side}, {}):
                try:
                    network = timm().create_model(row["timm"], pretrained=False, num_classes=CLASSES, **more).eval()
                    with torch.no_grad():
                        network(torch.zeros(2, 3, side, side))
                except (TypeError, RuntimeError, AssertionError, ValueError):
                    continue  # not at this side, or not told so in this way
                return network, side
    raise ValueError(f"{row['name']}: got no side at which it runs; expected one of its own")


@torch.no_grad()
def _unmuted(network: nn.Module) -> None:
    """Layer scales and norms that begin near 0 mute their branch: both become 1."""
    for name, weight in network.named_parameters():
        last = name.rpartition(".")[2]
        if weight.dim() == 1 and last in ("weight", "gamma", "gamma_xca", "scale") and weight.abs().max() < 0.9:
            weight.fill_(1.0)
