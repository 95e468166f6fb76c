"""A network that is trained already, whose scores the design learns from: of timm, or a design with weights.

Shapes: B images, R side of an image, pixels from 0 to 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.errors import GasError, SettingError, describe, first_line
from gas.exports.checker import help_torchvision
from gas.exports.trained import facts_of
from gas.exports.weights import load_weights
from gas.model import build
from gas.space import load
from gas.trainer.recipe import TrainingRecipe

TIMM = "timm:"


class Teacher:
    """A network that gives scores and is not trained.

    Args:
        network: In evaluation mode from here on.
        name: For people.
        resolution: Side of the images that it reads; others are resized.
        scale: Mean and deviation that it was trained with, each (3,).
    """

    def __init__(
        self, network: nn.Module, name: str, resolution: int, scale: tuple[Sequence[float], Sequence[float]]
    ) -> None:
        self.network, self.name, self._resolution = network.eval().requires_grad_(False), name, resolution
        self._mean, self._deviation = (torch.tensor(part).view(1, 3, 1, 1) for part in scale)

    def to(self, device: torch.device) -> Teacher:
        """Itself, moved."""
        self.network.to(device)
        self._mean, self._deviation = self._mean.to(device), self._deviation.to(device)
        return self

    @torch.no_grad()
    def scores(self, images: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
        """(B, classes) of images standardised for the design with `scale`, whichever way they were mixed."""
        mean, deviation = (part.to(images.device) for part in scale)
        images = images * deviation + mean
        if images.shape[-1] != self._resolution:
            size = (self._resolution, self._resolution)
            images = F.interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=True)
        return self.network((images - self._mean) / self._deviation).float()


def taught(scores: Tensor, teacher: Tensor, recipe: TrainingRecipe) -> Tensor:
    """The teacher's loss, (B,): cross-entropy with its choice, or with its scores at a temperature, times T squared.

    Source: hard, DeiT, arXiv 2012.12877, section 4; soft, G. Hinton et al., arXiv 1503.02531, section 2.
    """
    if recipe.distil == "hard":
        return F.cross_entropy(scores, teacher.argmax(dim=1), reduction="none")
    heat = recipe.temperature
    ours, theirs = F.log_softmax(scores / heat, dim=1), F.log_softmax(teacher / heat, dim=1)
    return F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1) * heat**2


def load_teacher(text: str, classes: Sequence[str], scale: tuple[Sequence[float], Sequence[float]]) -> Teacher:
    """The teacher that a text names.

    Args:
        text: `DESIGN+WEIGHTS.safetensors`; or `NAME` or `NAME+WEIGHTS.safetensors` of timm, also with `timm:` before.
        classes: Names of the classes of the data.
        scale: Mean and deviation of the data, for a design whose weights do not say theirs.

    Raises:
        SettingError: There is none, its weights cannot be had, or it has other classes.
    """
    name, _, weights = text.partition("+")
    if weights and not Path(weights).is_file():
        raise SettingError(f"teacher: {weights} does not exist; expected a .safetensors file")
    design = None if name.startswith(TIMM) else _design(name, need=bool(weights))
    if design is None:
        return _of_timm(name.removeprefix(TIMM), weights, classes)
    if not weights:
        raise SettingError(f"teacher: got the design {name} alone; expected {name}+WEIGHTS.safetensors")
    facts = facts_of(Path(weights))
    known = facts.get("classes")
    if known and list(known) != list(classes):
        raise SettingError(f"teacher: {_other_classes(known, classes)}")
    network = build(design, classes=len(classes), seed=0)
    _fill(network, weights)
    scale = (facts.get("mean") or scale[0], facts.get("deviation") or scale[1])
    return Teacher(network, name, design.resolution, scale)


def _design(name: str, *, need: bool) -> Any:
    """The design of that name; None where there is none, and timm may know it."""
    try:
        return load(name)
    except GasError as error:
        if need and name.endswith((".yaml", ".yml")):
            raise SettingError(f"teacher: {error}") from error
        return None


def _of_timm(name: str, weights: str, classes: Sequence[str]) -> Teacher:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # gas downloads nothing unasked; read when timm is imported
    try:
        help_torchvision()
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit this torch
        first = first_line(error)
        what = f"{name} is no design, and timm cannot be imported ({first})"
        raise SettingError(f"teacher: {what}; expected DESIGN+WEIGHTS.safetensors, or pip install timm") from error
    if name.partition(".")[0] not in timm.list_models():
        raise SettingError(f"teacher: {describe(name, 'a design or a model of timm', known=timm.list_models())}")
    try:
        network = timm.create_model(name, pretrained=not weights, **({"num_classes": len(classes)} if weights else {}))
    except Exception as error:  # whatever a download may raise
        first = first_line(error)
        text = f"the weights of timm's {name} cannot be had: {first}; expected {name}+WEIGHTS.safetensors"
        text += ", or HF_HUB_OFFLINE=0 in the environment, to have timm fetch them"
        raise SettingError(f"teacher: {text}") from error
    if weights:
        _fill(network, weights)
    if network.num_classes != len(classes):
        raise SettingError(f"teacher: got {network.num_classes} classes of {name}; expected {len(classes)}, the data's")
    settings = network.pretrained_cfg
    return Teacher(network, name, settings["input_size"][-1], (settings["mean"], settings["std"]))


def _fill(network: nn.Module, weights: str) -> None:
    try:
        load_weights(network, weights)
    except (OSError, ValueError) as error:
        raise SettingError(f"teacher: {error}") from error


def _other_classes(got: Sequence[str], expected: Sequence[str]) -> str:
    if len(got) != len(expected):
        return f"got {len(got)} classes; expected {len(expected)}, the data's"
    mine, theirs = next((a, b) for a, b in zip(got, expected, strict=True) if a != b)
    return f"got class {mine!r}; expected {theirs!r}, as the data has it"
