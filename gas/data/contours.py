"""Contour images made on the spot: each class is a set of nested waves around an oval, each image one drawing of it.

No file is needed, the number of classes is free, and the label depends on shape alone: place, size, hue, brightness of
the lines, background and the wobble of every line differ from image to image. Made once per setting, then kept in the
cache folder. Images are not mirrored or turned, so that which way is up can be learnt from them.

Shapes: B images, L lines of a drawing, V corners of a line, P points drawn of it, R side of an image, pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gas.data.base import ImageData, register
from gas.data.making import Draw, make_once, paint

WAVES, LINES, CORNERS = 20, (4, 12), 128
"""Most waves around a line; least and most lines of a drawing; corners of a line."""

_RADIUS, _OVAL, _REACH, _HEIGHT, _PLACE = (0.02, 0.12), (1.0, 2.0), (0.22, 0.34), (0.05, 0.13), (0.35, 0.65)
_SIZE, _WOBBLE = (0.75, 1.15), (0.0, 0.006)
_LENGTHS = [3, 6, 7]  # columns of `Atoms`
_BATCH = 16  # what a batch works on then stays in a processor's cache
_FORMAT = 1  # raise when the images for equal settings change

Atoms = NDArray[np.float64]
"""(B, 8), a row per drawing: the two numbers of waves, lines, least radius, the oval's two axes, how far lines reach
beyond the innermost one, height of the waves on the outermost; lengths are shares of the image's side."""


@register("contours")
def load_contours(
    *, resolution: int, images: int | None, validation: int | None, classes: int | None, seed: int
) -> ImageData:
    """Contours by class; by default 32 classes, 2,048 training and 512 validation images.

    Source: VisualAtom (Takashima et al., arXiv 2303.01112, section 3): radius grows from line to line by a constant and
    the mean of two sines, a random walk on top. Differs: 4 to 12 lines of 128 corners in place of up to 200 of up to
    1,000, which 64 pixels could not tell apart; their reach is drawn and not what their number makes of it; drawings
    stay near the middle and differ in size; in a random hue on a random background of 8 x 8 blocks, lines anti-aliased.
    """

    def prepare(rng: np.random.Generator, count: int) -> Draw:
        atoms = sample_atoms(rng, count)
        return lambda rng, labels: draw(rng, atoms[labels], resolution)

    settings = {"images": images, "validation": validation, "classes": classes, "seed": seed}
    return make_once("contours", prepare, resolution=resolution, **settings, version=_FORMAT)


def sample_atoms(rng: np.random.Generator, count: int) -> Atoms:
    """`count` random classes; no two have the same pair of waves as long as there are other pairs (210 of them)."""
    pairs = np.array([(low, high) for low in range(WAVES + 1) for high in range(low + 1, WAVES + 1)], dtype=float)
    atoms = np.empty((count, 8))
    for start in range(0, count, len(pairs)):
        part = atoms[start : start + len(pairs)]
        part[:, :2] = rng.permutation(pairs)[: len(part)]
        part[:, 2] = rng.integers(LINES[0], LINES[1] + 1, len(part))
        for column, bounds in ((3, _RADIUS), (4, _OVAL), (5, _OVAL), (6, _REACH), (7, _HEIGHT)):
            part[:, column] = rng.uniform(*bounds, len(part))
    return atoms


def draw(rng: np.random.Generator, atoms: Atoms, resolution: int) -> NDArray[np.uint8]:
    """(B drawings) -> (B, R, R, 3) bytes: each near the middle, of some size, with a wobble, coloured."""
    parts = []
    for start in range(0, len(atoms), _BATCH):
        batch = atoms[start : start + _BATCH].copy()
        batch[:, _LENGTHS] *= rng.uniform(*_SIZE, (len(batch), 1))
        place = rng.uniform(*_PLACE, (len(batch), 2))
        wobble = rng.uniform(*_WOBBLE, len(batch))[:, None, None]
        steps = rng.uniform(-1, 1, (2, len(batch), LINES[1], CORNERS)) * wobble
        bright = rng.uniform(0.4, 1.0, (len(batch), LINES[1]))
        parts.append(paint(rng, strokes(corners(batch, place, steps), bright, resolution)))
    return np.concatenate(parts)


def corners(
    atoms: Atoms, place: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Corners (2, B, L, V), x and y in shares of the side, and (B, L), which of the lines the drawings have.

    On line l, counted from 1, x is x0 + cos t (radius * oval + l / L * (reach + height * wave(t)) + what the steps have
    come to), and y in like manner with sin t; wave(t) is the mean of the two sines.

    Args:
        atoms: The drawings.
        place: (B, 2) middles x0, y0.
        steps: (2, B, L, V) steps of each corner's random walk from line to line.
    """
    first, second, lines, radius, *ovals, reach, height = atoms.T[:, :, None, None]  # each (B, 1, 1)
    angle = np.arange(CORNERS) * (2 * np.pi / CORNERS)
    wave = (np.sin(first * angle) + np.sin(second * angle)) / 2  # (B, 1, V)
    line = np.arange(1, LINES[1] + 1)[:, None]  # (L, 1)
    grown = line / lines * (reach + height * wave)  # (B, L, V)
    walked = np.cumsum(steps, axis=2)
    found = np.empty(steps.shape, dtype=np.float32)
    for axis, (oval, circle) in enumerate(zip(ovals, (np.cos(angle), np.sin(angle)), strict=True)):
        found[axis] = place[:, axis, None, None] + circle * (radius * oval + grown + walked[axis])
    return found, (line <= lines)[..., 0]


def strokes(
    drawn: tuple[NDArray[np.float32], NDArray[np.bool_]], bright: NDArray[np.float64], resolution: int
) -> NDArray[np.float32]:
    """Closed lines as `corners` gives them -> (B, R, R): how much of each pixel they cover times their brightness.

    A line is a 64th of the side wide, and a pixel at least: points along it are shared out among the four pixels around
    them, each with the length that it stands for, and then spread over a square of that width. A pixel is covered once
    at most; where lines cross, brightness is their mean.
    """
    (points, there), per_edge, width = drawn, max(resolution // 8, 2), max(round(resolution / 64), 1)
    ends = np.roll(points, -1, axis=-1)
    length = np.hypot(*(ends - points)) * (resolution / per_edge) * there[..., None]  # (B, L, V), pixels
    along = ((np.arange(per_edge, dtype=np.float32) + 0.5) / per_edge)[:, None, None, None, None]
    spots = (points + along * (ends - points)) * resolution - 0.5  # (P, 2, B, L, V), 0 in the middle of the first pixel
    cell = np.floor(spots).astype(np.int32)
    share = spots - cell
    border = width + 1  # wide enough that what is put there because it lies farther out reaches no pixel
    count, size = len(there), resolution + 2 * border
    cell = np.clip(cell + border, 0, size - 2)
    flat = (np.arange(count, dtype=np.int32)[:, None, None] * size + cell[:, 1]) * size + cell[:, 0]  # (P, B, L, V)
    sums = np.zeros((2, count * size * size))
    tone = np.broadcast_to(bright[..., None], flat.shape).ravel()
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (share[:, 1] if down else 1 - share[:, 1]) * (share[:, 0] if right else 1 - share[:, 0]) * length
        where = (flat + (down * size + right)).ravel()
        for total, value in zip(sums, (weight.ravel(), weight.ravel() * tone), strict=True):
            total += np.bincount(where, value, minlength=sums.shape[1])
    cover, light = _spread(sums.reshape(2, count, size, size), width)[..., border:-border, border:-border]
    return (np.minimum(cover, 1) * light / np.maximum(cover, 1e-9)).astype(np.float32)


def _spread(maps: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(..., R, R): each pixel's value over a square of pixels around it, so that lines of width 1 become `width` wide.

    Across a line of unit weight the sum over the square is `width` wherever it meets the line, so it is divided by it.
    """
    if width == 1:
        return maps
    for axis in (-2, -1):
        maps = sum(np.roll(maps, shift - width // 2, axis=axis) for shift in range(width))
    return maps / width
