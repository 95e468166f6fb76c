"""Contours: corners by the formula, lines as another painter draws them, and labels that depend on shape alone."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from gas.data import load
from gas.data.contours import CORNERS, LINES, WAVES, corners, draw, sample_atoms, strokes

ATOM = (3.0, 7.0, 5.0, 0.05, 1.2, 1.7, 0.25, 0.1)
STILL = np.zeros((2, 1, LINES[1], CORNERS))
EVEN = np.ones((1, LINES[1]))


def atoms(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=float)


def ring(radius: float, place: tuple[float, float] = (0.5, 0.5), **more: float) -> tuple[np.ndarray, np.ndarray]:
    """A single round line."""
    given = {
        "first": 0.0,
        "second": 0.0,
        "lines": 1.0,
        "least": 0.0,
        "x": 1.0,
        "y": 1.0,
        "reach": radius,
        "height": 0.0,
    }
    return corners(atoms(tuple({**given, **more}.values())), np.array([place]), STILL)


def test_corners_are_where_the_formula_says() -> None:
    rng = np.random.default_rng(0)
    steps = rng.uniform(-0.01, 0.01, STILL.shape)
    found, there = corners(atoms(ATOM), np.array([[0.4, 0.6]]), steps)
    first, second, lines, radius, oval_x, oval_y, reach, height = ATOM
    assert there.tolist() == [[True] * 5 + [False] * (LINES[1] - 5)]
    for line in (1, 2, 5):
        for corner in (0, 1, 40, CORNERS - 1):
            angle = 2 * math.pi * corner / CORNERS
            wave = (math.sin(first * angle) + math.sin(second * angle)) / 2
            grown = line / lines * (reach + height * wave)
            walk = steps[:, 0, :line, corner].sum(axis=1)
            expected = (
                0.4 + math.cos(angle) * (radius * oval_x + grown + walk[0]),
                0.6 + math.sin(angle) * (radius * oval_y + grown + walk[1]),
            )
            assert found[:, 0, line - 1, corner] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("resolution", [32, 64, 224])
def test_a_line_covers_its_length_times_its_width(resolution: int) -> None:
    width = max(round(resolution / 64), 1)
    shape = strokes(ring(0.3), EVEN, resolution)[0]
    points = [(math.cos(2 * math.pi * k / CORNERS), math.sin(2 * math.pi * k / CORNERS)) for k in range(CORNERS + 1)]
    length = 0.3 * resolution * sum(math.dist(a, b) for a, b in pairwise(points))
    assert shape.sum() == pytest.approx(length * width, rel=0.06)  # what a pixel gets beyond 1 is cut off
    assert shape.max() <= 1


@pytest.mark.parametrize("resolution", [64, 224])
def test_another_painter_draws_the_same(resolution: int) -> None:
    drawing = corners(atoms((2.0, 3.0, 4.0, 0.1, 1.0, 1.5, 0.3, 0.1)), np.array([[0.45, 0.5]]), STILL)
    ours = strokes(drawing, EVEN, resolution)[0]
    fine, width = 8, max(round(resolution / 64), 1)
    sheet = Image.new("L", (resolution * fine, resolution * fine))
    pen = ImageDraw.Draw(sheet)
    for line in range(4):
        points = drawing[0][:, 0, line].T * resolution * fine
        pen.line([tuple(p) for p in [*points, points[0]]], fill=255, width=width * fine, joint="curve")
    theirs = np.asarray(sheet.reduce(fine), dtype=float) / 255
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.93
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.1)


@pytest.mark.parametrize("resolution", [32, 224])
@pytest.mark.parametrize(
    "place", [(2.0, 0.5), (-1.0, 0.5), (0.5, 2.0), (0.5, -1.0), (9.0, 9.0), (1.36, 0.5), (0.5, -0.36)]
)
def test_what_lies_outside_leaves_no_trace(place: tuple[float, float], resolution: int) -> None:
    assert strokes(ring(0.3, place), EVEN, resolution).max() == 0


def test_what_lies_partly_outside_is_cut_off() -> None:
    whole = strokes(ring(0.2, (0.5, 0.5)), EVEN, 64)[0]
    moved = strokes(ring(0.2, (0.0, 0.5)), EVEN, 64)[0]
    np.testing.assert_allclose(moved[:, :31], whole[:, 32:63], atol=1e-4)


def test_brightness_is_that_of_the_line() -> None:
    dim = strokes(ring(0.3), EVEN * 0.5, 64)
    np.testing.assert_allclose(dim, 0.5 * strokes(ring(0.3), EVEN, 64), atol=1e-6)


def test_classes_differ_in_their_waves_as_long_as_there_are_others() -> None:
    count = WAVES * (WAVES + 1) // 2
    found = sample_atoms(np.random.default_rng(3), count + 40)
    pairs = [tuple(pair) for pair in found[:, :2]]
    assert len(set(pairs[:count])) == count
    assert len(set(pairs[count:])) == 40
    assert all(0 <= low < high <= WAVES for low, high in pairs)
    assert LINES[0] == found[:, 2].min() <= found[:, 2].max() == LINES[1]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 40))
def test_any_drawing_is_bytes_at_any_size(seed: int, count: int, resolution: int) -> None:
    rng = np.random.default_rng(seed)
    images = draw(rng, sample_atoms(rng, count), resolution)
    assert images.shape == (count, resolution, resolution, 3)
    assert images.dtype == np.uint8


def test_drawings_of_a_class_differ() -> None:
    rng = np.random.default_rng(0)
    images = draw(rng, sample_atoms(rng, 1)[[0] * 6], 32)
    assert len({image.tobytes() for image in images}) == 6


def nearest_centroid(train: torch.Tensor, val: torch.Tensor, data: object) -> float:
    centroids = torch.stack([train[data.train_labels == c].mean(dim=0) for c in range(data.classes)])
    return (torch.cdist(val, centroids).argmin(dim=1) == data.val_labels).float().mean().item()


def test_shape_tells_the_class_and_colour_does_not() -> None:
    data = load("contours", resolution=32, images=768, validation=256, classes=8)
    assert data.train_labels.bincount().tolist() == [96] * 8
    # What of the spectrum does not depend on the place: a simple rule that reads shape, above chance (0.125).
    shape = [torch.fft.fft2(i.mean(dim=1)).abs().log1p().flatten(1) for i in (data.train_images, data.val_images)]
    assert nearest_centroid(*shape, data) > 0.6
    pixels = [i.mean(dim=1).flatten(1) for i in (data.train_images, data.val_images)]
    assert nearest_centroid(*pixels, data) < 0.75  # mean images must not be all that it takes
    hue = [i.amax(dim=(2, 3)) - i.amax(dim=(1, 2, 3))[:, None] for i in (data.train_images, data.val_images)]
    assert nearest_centroid(*hue, data) < 0.25


def test_images_are_kept_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path))
    settings = {"resolution": 16, "images": 32, "validation": 16, "classes": 4, "seed": 5}
    first = load("contours", **settings).train_images
    (file,) = (f for f in tmp_path.rglob("*") if f.is_file())
    assert file.name.startswith("contours-")
    monkeypatch.setattr("gas.data.contours.draw", None)  # reading must not make anything
    assert torch.equal(load("contours", **settings).train_images, first)
    file.write_bytes(b"PK\x03\x04 cut short")
    monkeypatch.undo()
    monkeypatch.setenv("GAS_CACHE", str(tmp_path))
    assert torch.equal(load("contours", **settings).train_images, first)
