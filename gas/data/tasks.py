"""Tasks that need no labels: something is done to each image, one of a few things, and the image shows which.

Shapes: N images, R the side of an image, P the side of a patch, pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gas.data.base import ImageData
from gas.errors import SettingError, describe

ORDERS = tuple(itertools.permutations(range(4)))
"""Every order of four patches."""

TURNS = 4


def patch_order(data: ImageData, *, images: int = 0, validation: int = 0, seed: int = 0) -> ImageData:
    """Images cut into 2 x 2 patches that are put together in one of 24 orders; the label is the order.

    Args:
        data: Images; their labels are not read.
        images: Training images wanted; where the data have fewer, each is there several times, differently posed.
        validation: Validation images wanted, in the same manner.
        seed: Of what is done to which image.

    Source: Noroozi and Favaro, arXiv 1603.09246, section 3. Differs: 2 x 2 patches without gaps, in all their orders,
    seen by one network as one image.

    Raises:
        SettingError: The images' side is odd.
    """
    if data.resolution % 2:
        raise SettingError(f"fidelity.resolution: {describe(data.resolution, 'an even number, to cut images in half')}")
    return _posed(data, "patch order", len(ORDERS), _ordered, (images, validation), seed)


def rotation(data: ImageData, *, images: int = 0, validation: int = 0, seed: int = 0) -> ImageData:
    """Images turned by 0, 90, 180 or 270 degrees; the label is the number of quarter turns.

    Arguments as for `patch_order`.

    It asks for images that have an up and a down: turned halfway, the mirrored fractals of `procedural` are others of
    their class.

    Source: Gidaris et al., arXiv 1803.07728, section 2.
    """
    return _posed(data, "rotation", TURNS, _turned, (images, validation), seed)


Task = Callable[..., ImageData]
"""Called as `patch_order` is."""

TASKS: dict[str, Task] = {"patch_order": patch_order, "rotation": rotation}


def _posed(
    data: ImageData,
    name: str,
    kinds: int,
    done: Callable[[Tensor, int], Tensor],
    wanted: tuple[int, int],
    seed: int,
) -> ImageData:
    """The data with `done(images, kind)` in place of the images and the kind in place of the labels.

    Each kind comes about equally often. Copies of an image are of different kinds, and lie beside one another.
    """
    parts = {}
    for salt, (part, images) in enumerate((("train", data.train_images), ("val", data.val_images))):
        count = len(images)
        copies = min(max(-(-wanted[salt] // count), 1), kinds)
        first = torch.randperm(count, generator=torch.Generator().manual_seed(2 * seed + salt)) % kinds
        labels = (first[:, None] + torch.arange(copies)).flatten() % kinds  # (N copies,)
        made = images.repeat_interleave(copies, dim=0)
        for kind in range(kinds):
            chosen = labels == kind
            made[chosen] = done(made[chosen], kind)
        parts |= {f"{part}_images": made, f"{part}_labels": labels}
    return replace(data, name=f"{name} on {data.name}", classes=kinds, **parts)


def _ordered(images: Tensor, kind: int) -> Tensor:
    """(N, 3, R, R): the patch that was the `ORDERS[kind][i]`-th, row by row, is now the i-th."""
    patches = images.unflatten(3, (2, -1)).unflatten(2, (2, -1))  # (N, 3, 2, P, 2, P)
    patches = patches.transpose(3, 4).flatten(2, 3)[:, :, list(ORDERS[kind])]  # (N, 3, 4, P, P)
    return patches.unflatten(2, (2, 2)).transpose(3, 4).flatten(4, 5).flatten(2, 3)  # (N, 3, R, R)


def _turned(images: Tensor, kind: int) -> Tensor:
    return torch.rot90(images, kind, (2, 3))
