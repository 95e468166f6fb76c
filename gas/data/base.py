"""What image data is, and the one way to ask for it.

Shapes: N images, R the side of an image in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gas.errors import DataError, SettingError, describe
from gas.registry import Registry


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images in memory, split in two.

    Args:
        name: What was loaded, for people (`digits`, a folder's path).
        classes: Number of classes.
        train_images: (N, 3, R, R) float32; each channel has mean 0 and deviation 1 over the training images.
        train_labels: (N,) int64, from 0 to classes - 1.
        val_images: (M, 3, R, R) float32, shifted and scaled as the training images are.
        val_labels: (M,) int64.
        skipped: Images that could not be read and are not among them.
        unreadable: The first few of those, for people.
        mean: What was subtracted from each channel of pixels between 0 and 1; empty where not known.
        deviation: What each channel was then divided by.
    """

    name: str
    classes: int
    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    skipped: int = 0
    unreadable: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def resolution(self) -> int:
        """Side of the images, pixels."""
        return self.train_images.shape[-1]

    def notes(self) -> tuple[str, ...]:
        """What is worth telling the user once about them, a sentence each."""
        if not self.skipped:
            return ()
        total = self.skipped + len(self.train_labels) + len(self.val_labels)
        listed = ", ".join(self.unreadable) + (", ..." if self.skipped > len(self.unreadable) else "")
        are = "is" if self.skipped == 1 else "are"
        what = f"{self.skipped:,} of {total:,} images of {self.name} could not be read and {are} skipped: {listed}"
        return (f"data: {what}",)


Source = Callable[..., ImageData]
"""Called with keywords resolution, images, validation, classes, seed: see `load`."""

DATA: Registry[Source] = Registry("data", "gas.data")
register = DATA.register


def load(
    name_or_path: str | Path,
    *,
    resolution: int,
    images: int | None = None,
    validation: int | None = None,
    classes: int | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> ImageData:
    """Loads images at one size; equal arguments give equal images.

    Args:
        name_or_path: `digits`, `procedural`, `contours`, or a folder of images (`train/CLASS/*`, `val/CLASS/*`, or
            `CLASS/*`).
        resolution: Side of the images, pixels.
        images: Training images at most; None for as many as the source has or makes by itself.
        validation: Validation images at most; None for the source's own number.
        classes: Classes at most; None for all.
        noise: Deviation of Gaussian noise added to every image, in units of the images' own deviation.
        seed: Which images are drawn, how they are split, and the noise.

    Raises:
        UnknownNameError: There is neither such a source nor such a folder.
        DataError: The folder cannot be read as image data.
        SettingError: A number is out of its range.
    """
    for word, value in (("resolution", resolution), ("images", images), ("validation", validation)):
        if value is not None and value < 1:
            raise SettingError(f"{word}: {describe(value, 'a whole number of at least 1')}")
    if classes is not None and classes < 2:
        raise SettingError(f"classes: {describe(classes, 'at least 2')}")
    if not noise >= 0:
        raise SettingError(f"noise: {describe(noise, 'a number of at least 0')}")
    settings: dict[str, Any] = {
        "resolution": resolution,
        "images": images,
        "validation": validation,
        "classes": classes,
        "seed": seed,
    }
    data = _load(name_or_path, settings)
    return _with_noise(data, noise, seed) if noise else data


def _load(name_or_path: str | Path, settings: dict[str, Any]) -> ImageData:
    from gas.data.folder import load_folder

    text = str(name_or_path)
    is_name = isinstance(name_or_path, str) and name_or_path in DATA
    if is_name:
        return DATA.get(text)(**settings)
    if Path(text).is_dir() or isinstance(name_or_path, Path) or "/" in text or text.startswith("."):
        return load_folder(Path(text), **settings)
    expected = f"one of {', '.join(DATA.names())}, or the path of a folder of images"
    raise DataError(f"data: {describe(text, expected, known=DATA.names())}")


def image_data(
    name: str,
    classes: int,
    train: tuple[NDArray[np.uint8], Sequence[int] | NDArray[np.integer]],
    val: tuple[NDArray[np.uint8], Sequence[int] | NDArray[np.integer]],
) -> ImageData:
    """ImageData from bytes: (N, R, R, 3) images with (N,) labels, standardised by the training images."""
    pixels = _floats(train[0])
    mean = pixels.mean(dim=(0, 2, 3), keepdim=True)
    # A channel without spread (a folder of black images) would divide by 0.
    deviation = pixels.std(dim=(0, 2, 3), keepdim=True, correction=0).clamp_min(1e-3)
    return ImageData(
        name,
        classes,
        (pixels - mean) / deviation,
        torch.as_tensor(np.asarray(train[1]), dtype=torch.int64),
        (_floats(val[0]) - mean) / deviation,
        torch.as_tensor(np.asarray(val[1]), dtype=torch.int64),
        mean=tuple(mean.flatten().tolist()),
        deviation=tuple(deviation.flatten().tolist()),
    )


def resize(images: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """(N, H, W, 3) bytes -> (N, R, R, 3) bytes, bilinear; smoothed first where it shrinks."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    size = (resolution, resolution)
    pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def split(labels: NDArray[np.integer], validation: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (train, val) with every class in both in like shares: `validation` of them, or one fewer per class.

    Both come shuffled, so that a leading part of either is a fair draw.
    """
    rng = np.random.default_rng([seed, 7])
    order = rng.permutation(len(labels))
    share = validation / max(len(labels), 1)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        chosen[members[:count]] = True
    return order[~chosen[order]], order[chosen[order]]


def _floats(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous().float() / 255.0


def _with_noise(data: ImageData, noise: float, seed: int) -> ImageData:
    generator = torch.Generator().manual_seed(seed)

    def noisy(images: Tensor) -> Tensor:
        added = images + noise * torch.randn(images.shape, generator=generator)
        return added / (1.0 + noise**2) ** 0.5

    return replace(data, train_images=noisy(data.train_images), val_images=noisy(data.val_images))
