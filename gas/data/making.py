"""What sources that make their images share: classes by seed, every class equally often, made once and then kept.

Shapes: N images, R the side of an image, pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gas.data.base import ImageData, image_data
from gas.data.cache import cache_folder, read_arrays, write_arrays

CLASSES, IMAGES, VALIDATION = 32, 2048, 512
"""How many a source makes unless it is told otherwise."""

Draw = Callable[[np.random.Generator, NDArray[np.int64]], NDArray[np.uint8]]
"""(N,) labels -> (N, R, R, 3) images of these classes."""

_ARRAYS = ("train", "train_labels", "val", "val_labels")
_HUES = np.array([0.0, 4.0, 2.0])


def make_once(
    name: str,
    prepare: Callable[[np.random.Generator, int], Draw],
    *,
    resolution: int,
    images: int | None,
    validation: int | None,
    classes: int | None,
    seed: int,
    version: int,
) -> ImageData:
    """The images of a source, from the cache where they were made before.

    Args:
        name: Of the source.
        prepare: Draws so many classes, and gives what draws images of them.
        resolution: As for `gas.data.load`, and so are the following.
        images: See there; None for IMAGES.
        validation: See there; None for VALIDATION.
        classes: See there; None for CLASSES.
        seed: Of the classes, and of the images.
        version: Of the source; another one when the images for equal settings change.
    """
    counts = (CLASSES if classes is None else classes, images or IMAGES, validation or VALIDATION)
    settings = {"resolution": resolution, "counts": counts, "seed": seed, "format": version}
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / "data" / f"{name}-{key}.npz"
    made = read_arrays(path, _ARRAYS)
    if made is None:
        draw = prepare(np.random.default_rng([seed, 0]), counts[0])
        made = {}
        for part, (word, count) in enumerate((("train", counts[1]), ("val", counts[2]))):
            rng = np.random.default_rng([seed, 1 + part])
            # Every class equally often, in random order.
            labels = rng.permutation(np.arange(count) % counts[0])
            made |= {word: draw(rng, labels), f"{word}_labels": labels}
        write_arrays(path, made, compress=True)
    return image_data(name, counts[0], (made["train"], made["train_labels"]), (made["val"], made["val_labels"]))


def paint(rng: np.random.Generator, shape: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, R, R) shapes from 0 to 1 -> (N, R, R, 3): each in a random hue on a background of 8 x 8 random blocks."""
    colour = _bright(rng.random(len(shape)))[:, None, None, :]
    blocks = rng.random((len(shape), 8, 8, 3), dtype=np.float32) * 0.5
    resolution = shape.shape[1]
    index = np.arange(resolution) * 8 // resolution
    background = blocks[:, index][:, :, index]  # (N, R, R, 3)
    image = shape[..., None] * colour + (1 - shape[..., None]) * background
    return (image * 255).round().astype(np.uint8)


def _bright(hue: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N,) hues from 0 to 1 -> (N, 3) bright colours."""
    wheel = np.abs((hue[:, None] * 6 + _HUES) % 6 - 3) - 1
    return (0.4 + 0.6 * np.clip(wheel, 0, 1)).astype(np.float32)
