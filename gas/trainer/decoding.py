"""Image files -> tensors, in the processes of a DataLoader: a random crop to train on, the central square to validate.

Shapes: B images of a batch, R side of an image, pixels.
"""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gas.errors import first_line
from gas.trainer.drawing import seed_of
from gas.trainer.recipe import TrainingRecipe

RATIO = (3 / 4, 4 / 3)
"""Width to height of a random crop, least and greatest."""

_TRIES, _NEXT = 10, 64

Failure = tuple[str, str]
"""A file that cannot be read, and why."""

Decoded = tuple[Tensor | None, int, list[Failure]]
"""(3, R, R) bytes, or None where nothing could be read; the label; the files that could not be read."""


class Decoder(Dataset):
    """Reads images by (epoch, index).

    Args:
        files: Paths and labels.
        resolution: Side of the images, pixels.
        recipe: Crop, interpolation, the central square's side, and the seed of the crops.
        random: Whether to crop at random, as the epoch, the index and the recipe's seed have it, and to read the next
            file in place of one that cannot be read.
    """

    def __init__(
        self, files: Sequence[tuple[str, int]], resolution: int, recipe: TrainingRecipe, *, random: bool
    ) -> None:
        self._files, self._resolution, self._recipe, self._random = files, resolution, recipe, random

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, key: tuple[int, int]) -> Decoded:
        epoch, index = key
        failures: list[Failure] = []
        for place in range(index, index + (_NEXT if self._random else 1)):
            file, label = self._files[place % len(self._files)]
            seed = seed_of(self._recipe.seed, "crop", epoch, index)
            found = read_image(file, self._resolution, self._recipe, np.random.default_rng(seed), random=self._random)
            if not isinstance(found, str):
                return torch.from_numpy(found).permute(2, 0, 1), label, failures
            failures.append((file, found))
        return None, -1, failures


def read_image(
    file: str, resolution: int, recipe: TrainingRecipe, rng: np.random.Generator, *, random: bool
) -> np.ndarray | str:
    """(R, R, 3) bytes of one image; or, where it cannot be read, why."""
    from PIL import Image, UnidentifiedImageError

    how = Image.Resampling.BICUBIC if recipe.interpolation == "bicubic" else Image.Resampling.BILINEAR
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return first_line(error)
    box = random_box(image.size, recipe.crop, rng) if random else central_box(image.size, recipe.central)
    return np.array(image.crop(box).resize((resolution, resolution), how))


def random_box(size: tuple[int, int], least: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A crop (left, top, right, bottom) of `least` to all of the area; the central square where least is 1.

    Source: C. Szegedy et al., arXiv 1409.4842, section 6; as in torchvision, ten tries and then the central square.
    """
    width, height = size
    for _ in range(_TRIES if least < 1 else 0):
        area = width * height * rng.uniform(least, 1.0)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return left, top, left + w, top + h
    return central_box(size, 1.0)


def central_box(size: tuple[int, int], share: float) -> tuple[int, int, int, int]:
    """The central square (left, top, right, bottom) whose side is a share of the image's shorter one."""
    side = max(round(min(size) * share), 1)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side


def gathered(items: Sequence[Decoded]) -> tuple[Tensor, Tensor, list[Failure]]:
    """(B, 3, R, R) bytes, (B,) labels of those that could be read, and what could not."""
    read = [(pixels, label) for pixels, label, _ in items if pixels is not None]
    failures = [failure for *_, own in items for failure in own]
    pixels = torch.stack([pixels for pixels, _ in read]) if read else torch.empty(0, dtype=torch.uint8)
    return pixels, torch.tensor([label for _, label in read], dtype=torch.int64), failures


def quiet(_: Any) -> None:
    """Ctrl-C in a terminal goes to every process there; what becomes of the loaders is for the training to say."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
