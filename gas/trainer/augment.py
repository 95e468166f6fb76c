"""Augmentation of a group of images: all of it follows from one seed, so that a resumed training repeats its draws.

RandAugment and random erasing are kornia's, which draws from torch's global generator: it is forked and seeded here.

Shapes: B images of a group, R side of an image, pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gas.errors import SettingError
from gas.trainer.recipe import TrainingRecipe
from gas.training.augment import shift

ERASE_AREA, ERASE_RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)


@dataclass(frozen=True)
class Group:
    """Images ready for the network, and whose labels they bear.

    Args:
        images: (B, 3, R, R), each channel standardised.
        labels: (B,) int64.
        others: (B,) labels of the images mixed in; equal to `labels` where nothing was mixed.
        share: (B,) share of its own label that each keeps.
    """

    images: Tensor
    labels: Tensor
    others: Tensor
    share: Tensor


def need_kornia(recipe: TrainingRecipe) -> None:
    """SettingError where the recipe asks for augmentations of kornia and it is not installed."""
    if not recipe.needs_kornia:
        return
    try:
        import kornia.augmentation  # noqa: F401
    except ImportError as error:
        ask = "randaugment" if recipe.randaugment else "erase"
        text = f"recipe: {ask}: needs the package kornia, which is not installed: pip install 'gas[train]'"
        raise SettingError(text) from error


def augmented(
    images: Tensor, labels: Tensor, recipe: TrainingRecipe, *, scale: tuple[Tensor, Tensor], seed: int
) -> Group:
    """A group of images through the recipe's augmentations.

    Args:
        images: (B, 3, R, R), pixels from 0 to 1.
        labels: (B,) int64, on the same device.
        recipe: Which augmentations.
        scale: Mean and deviation of the channels, (3, 1, 1) each.
        seed: Of all that is drawn; torch's global generator is left as it was.
    """
    mean, deviation = (part.to(images.device) for part in scale)
    generator = torch.Generator().manual_seed(seed)
    if recipe.flip:
        chosen = torch.rand(len(images), generator=generator) < recipe.flip
        images = torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)
    rng = np.random.default_rng(seed)
    if recipe.randaugment:
        images = _randaugment(images, recipe, rng, seed)
    images = (images - mean) / deviation
    if recipe.shift:
        images = shift(images, generator)
    if recipe.erase:
        images = _erased(images, recipe.erase, seed)
    return _mixed(images, labels, recipe, rng)


def _randaugment(images: Tensor, recipe: TrainingRecipe, rng: np.random.Generator, seed: int) -> Tensor:
    strength = recipe.magnitude + recipe.magnitude_noise * rng.standard_normal()
    operations = _operations(recipe.randaugment)
    operations.m = float(np.clip(strength, 0.1, 9.9)) * 3  # kornia counts to 30
    with _seeded(seed, images):
        return operations(images).clamp(0, 1)


def _erased(images: Tensor, share: float, seed: int) -> Tensor:
    """Rectangles set to 0, the mean. Source: random erasing, arXiv 1708.04896, section 3.2."""
    with _seeded(seed + 1, images):
        return _eraser(share)(images)


@cache
def _operations(count: int) -> Any:
    from kornia.augmentation.auto import RandAugment

    return RandAugment(n=count, m=15)


@cache
def _eraser(share: float) -> Any:
    from kornia.augmentation import RandomErasing

    return RandomErasing(scale=ERASE_AREA, ratio=ERASE_RATIO, value=0.0, p=share)


@contextmanager
def _seeded(seed: int, images: Tensor) -> Iterator[None]:
    """Torch's global generators seeded within, as they were afterwards."""
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(seed)
        yield


def _mixed(images: Tensor, labels: Tensor, recipe: TrainingRecipe, rng: np.random.Generator) -> Group:
    """Mixup or CutMix, one of them for the whole group, each image with another of the group.

    Source: mixup, arXiv 1710.09412; CutMix, arXiv 1905.04899, section 3.1.
    """
    count, side = len(images), images.shape[-1]
    own = torch.ones(count, device=images.device)
    if not recipe.mixes or rng.random() >= recipe.mix:
        return Group(images, labels, labels, own)
    cut = recipe.cutmix > 0 and (recipe.mixup == 0 or rng.random() < recipe.switch)
    alpha = recipe.cutmix if cut else recipe.mixup
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(count)).to(images.device)
    if not cut:
        mixed = share * images + (1 - share) * images[partner]
        return Group(mixed, labels, labels[partner], own * share)
    half = (1 - share) ** 0.5 * side / 2
    centre = rng.random(2) * side
    (top, left), (bottom, right) = (
        (round(c) for c in np.clip(edge, 0, side)) for edge in (centre - half, centre + half)
    )
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / side**2
    return Group(mixed, labels, labels[partner], own * kept)
