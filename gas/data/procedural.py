"""Fractal images made on the spot: each class is a random iterated function system, each image a variation of it.

No file is needed, the number of classes is free, and the label depends on shape alone: hue, background, mirroring
and small changes of the maps differ from image to image. Made once per setting, then kept in the cache folder.

Shapes: B images, K maps of a system, M chains of points, R side of an image, pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gas.data.base import ImageData, register
from gas.data.making import Draw, make_once, paint

MAPS = 7  # at most, per system; systems with fewer are filled up with maps of probability 0
_CHAINS, _WARM_UP, _POINTS_PER_PIXEL, _BATCH = 128, 20, 6, 64
_LEAST_FILLED = 0.12  # of the pixels, for a class to be accepted: thinner fractals are a few specks
_JITTER = (0.6, 0.8, 1.0, 1.2, 1.4)
_FORMAT = 1  # raise when the images for equal settings change

Systems = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(B, MAPS, 6) maps x' = a x + b y + e, y' = c x + d y + f in the order a b c d e f; (B, MAPS) probabilities."""


@register("procedural")
def load_procedural(
    *, resolution: int, images: int | None, validation: int | None, classes: int | None, seed: int
) -> ImageData:
    """Fractals by class; by default 32 classes, 2,048 training and 512 validation images.

    Source: FractalDB (Kataoka et al., arXiv 2101.08515) for learning from fractals; Anderson and Farrell,
    arXiv 2110.03091, section 3, for the sampling of systems. Differs: maps are varied by the weights 0.6 to 1.4 on one
    of their parameters and kept contractive; a random hue stands on a random background of 8 x 8 blocks.
    """

    def prepare(rng: np.random.Generator, count: int) -> Draw:
        maps, probabilities = sample_classes(rng, count)
        return lambda rng, labels: draw(rng, (maps[labels], probabilities[labels]), resolution)

    settings = {"images": images, "validation": validation, "classes": classes, "seed": seed}
    return make_once("procedural", prepare, resolution=resolution, **settings, version=_FORMAT)


def sample_classes(rng: np.random.Generator, count: int) -> Systems:
    """`count` random systems, none of which fills less than 12% of a 32-pixel image."""
    maps, probabilities = [], []
    while len(maps) < count:
        tried = [sample_system(rng) for _ in range(_BATCH)]
        batch = np.stack([t[0] for t in tried]), np.stack([t[1] for t in tried])
        filled = (density(rng, batch, 32) > 0).mean(axis=(1, 2))
        for index in np.flatnonzero(filled >= _LEAST_FILLED):
            maps.append(batch[0][index])
            probabilities.append(batch[1][index])
    return np.stack(maps[:count]), np.stack(probabilities[:count])


def sample_system(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One contractive system of 2 to 7 maps: (MAPS, 6) maps, (MAPS,) probabilities.

    A map is R(t) diag(s1, s2) R(p) diag(+-1, +-1) with 1 >= s1 >= s2 >= 0; the sum of s1 + 2 s2 over the maps is drawn
    from [(5 + K) / 2, (6 + K) / 2], where systems are neither dust nor blobs. Source: arXiv 2110.03091, section 3.2.
    """
    count = int(rng.integers(2, MAPS + 1))
    left = rng.uniform(5 + count, 6 + count) / 2
    maps = np.zeros((MAPS, 6), dtype=np.float32)
    weights = np.zeros(MAPS, dtype=np.float32)
    for k in range(count):
        least = max(0.0, left - 3 * (count - k - 1))  # the other maps can take 3 each
        large = rng.uniform(least / 3, min(1.0, left))
        small = (
            (left - large) / 2
            if k == count - 1
            else rng.uniform(max(0.0, (least - large) / 2), min(large, (left - large) / 2))
        )
        left -= large + 2 * small
        turn, back = rng.uniform(0, 2 * np.pi, 2)
        signs = np.diag(rng.choice([-1.0, 1.0], 2))
        matrix = _rotation(turn) @ np.diag([large, small]) @ _rotation(back) @ signs
        maps[k] = [*matrix.ravel(), *rng.uniform(-1, 1, 2)]
        weights[k] = max(large * small, 0.01)  # a flat map must be chosen sometimes too
    return maps, weights / weights.sum()


def vary(rng: np.random.Generator, systems: Systems) -> Systems:
    """Each system with one of its six parameters weighted in all maps: an instance of its class."""
    maps = systems[0].copy()  # (B, K, 6)
    rows = np.arange(len(maps))
    maps[rows, :, rng.integers(0, 6, len(maps))] *= rng.choice(_JITTER, len(maps)).astype(np.float32)[:, None]
    matrices = maps[..., :4].reshape(*maps.shape[:2], 2, 2)
    largest = np.linalg.norm(matrices, ord=2, axis=(2, 3))  # (B, K)
    maps[..., :4] *= np.minimum(1.0, 0.98 / np.maximum(largest, 1e-6))[..., None]
    return maps, systems[1]


def draw(rng: np.random.Generator, systems: Systems, resolution: int) -> NDArray[np.uint8]:
    """(B systems) -> (B, R, R, 3) bytes: a variation of each, coloured, mirrored, on a random background."""
    parts = []
    for start in range(0, len(systems[0]), _BATCH):
        batch = vary(rng, (systems[0][start : start + _BATCH], systems[1][start : start + _BATCH]))
        shape = density(rng, batch, resolution)  # (B, R, R)
        flips = rng.random((2, len(shape))) < 0.5
        shape[flips[0]] = shape[flips[0], ::-1]
        shape[flips[1]] = shape[flips[1], :, ::-1]
        parts.append(paint(rng, shape))
    return np.concatenate(parts)


def density(rng: np.random.Generator, systems: Systems, resolution: int) -> NDArray[np.float32]:
    """(B systems) -> (B, R, R): how often the chaos game visits each pixel, log scale, 0 to 1.

    The frame holds 99% of the points on each axis: a few stray points must not shrink the figure to a dot.
    """
    maps, probabilities = systems
    count = len(maps)
    steps = -(-_POINTS_PER_PIXEL * resolution**2 // _CHAINS)
    table = np.ascontiguousarray(maps.reshape(-1, 6))
    bounds = np.cumsum(probabilities, axis=1)[:, :-1, None].astype(np.float32)  # (B, MAPS-1, 1)
    first = (np.arange(count) * MAPS)[:, None]
    x = rng.uniform(-1, 1, (count, _CHAINS)).astype(np.float32)
    y = rng.uniform(-1, 1, (count, _CHAINS)).astype(np.float32)
    points = np.empty((2, steps, count, _CHAINS), dtype=np.float32)
    for step in range(-_WARM_UP, steps):
        chance = rng.random((count, _CHAINS), dtype=np.float32)
        chosen = first + (chance[:, None] > bounds).sum(axis=1)  # (B, M)
        a, b, c, d, e, f = np.moveaxis(table[chosen], -1, 0)
        x, y = a * x + b * y + e, c * x + d * y + f
        if step >= 0:
            points[:, step] = x, y
    thinned = points[:, :: max(steps // 16, 1)]
    low, high = np.quantile(thinned, [0.005, 0.995], axis=(1, 3)).astype(np.float32)  # each (2, B)
    scale = resolution / np.maximum(high - low, 1e-6)
    cell = np.floor((points - low[:, None, :, None]) * scale[:, None, :, None]).astype(np.int32)
    inside = ((cell >= 0) & (cell < resolution)).all(axis=0)
    flat = (np.arange(count)[:, None] * resolution + cell[1]) * resolution + cell[0]
    visits = np.bincount(flat[inside], minlength=count * resolution**2)
    shade = np.log1p(visits.astype(np.float32)).reshape(count, resolution, resolution)
    return shade / np.maximum(shade.max(axis=(1, 2), keepdims=True), 1e-6)


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
