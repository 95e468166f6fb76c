"""A folder of the user's own images, in the layout of ImageNet: one folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gas.data.base import ImageData, image_data, split
from gas.errors import DataError, describe

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
IMAGES, VALIDATION = 4096, 1024
_LAYOUTS = "`train/CLASS/*` with `val/CLASS/*`, or `CLASS/*`"

Files = list[tuple[Path, int]]


def load_folder(
    path: Path, *, resolution: int, images: int | None, validation: int | None, classes: int | None, seed: int
) -> ImageData:
    """Images from `path`, cut to their central square; by default 4,096 to train on and 1,024 to validate, at most.

    Without a `val` folder, a fifth of every class (at most `validation` in all) is held out, by seed. Where fewer
    images than there are are asked for, the seed draws them, each class alike.

    Raises:
        DataError: The folder is missing, holds fewer than two classes, or a file in it cannot be read.
    """
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"data: {path} {problem}; expected a folder of images: {_LAYOUTS}")
    inner = path / "train" if (path / "train").is_dir() else path
    names = _classes(inner)[:classes]
    train, held = _files(inner, names), None
    if inner != path:
        held = _validation_files(path, names)
    limit, val_limit = images or IMAGES, validation or VALIDATION
    if held is None:
        labels = np.array([label for _, label in train])
        rest, out = split(labels, min(val_limit, max(len(train) // 5, len(names))), seed)
        train, held = [train[i] for i in rest], [train[i] for i in out]
    train, held = _drawn(train, limit, seed), _drawn(held, val_limit, seed + 1)
    return image_data(str(path), len(names), _read(train, resolution), _read(held, resolution))


def _classes(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"data: {folder} holds {len(names)} class folders; expected at least 2: {_LAYOUTS}")
    return names


def _files(folder: Path, names: list[str]) -> Files:
    found: Files = []
    for label, name in enumerate(names):
        files = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES)
        if len(files) < 2:
            listed = ", ".join(SUFFIXES)
            raise DataError(f"data: {folder / name} holds {len(files)} images; expected at least 2 files of {listed}")
        found += [(file, label) for file in files]
    return found


def _validation_files(path: Path, names: list[str]) -> Files | None:
    """Files under `val` (or `validation`); None where there is no such folder."""
    folder = next((path / word for word in ("val", "validation") if (path / word).is_dir()), None)
    if folder is None:
        return None
    found: Files = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            there = [entry.name for entry in folder.iterdir()]
            raise DataError(f"data: {folder}: {describe(name, 'the same classes as train', known=there)}")
        found += [(p, label) for p in sorted((folder / name).iterdir()) if p.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"data: {folder} holds no images; expected files of {', '.join(SUFFIXES)}")
    return found


def _drawn(files: Files, limit: int, seed: int) -> Files:
    """`limit` of the files in random order, the classes taking turns so that none is left out."""
    order = np.random.default_rng([seed, 11]).permutation(len(files))
    turn: dict[int, int] = {}
    ranked = []
    for position, index in enumerate(order):
        label = files[index][1]
        turn[label] = turn.get(label, -1) + 1
        ranked.append((turn[label], position, index))
    chosen = sorted(ranked)[:limit]
    return [files[index] for _, _, index in sorted(chosen, key=lambda entry: entry[1])]


def _read(files: Files, resolution: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pixels = np.empty((len(files), resolution, resolution, 3), dtype=np.uint8)
    for row, (file, _) in enumerate(files):
        pixels[row] = _pixels(file, resolution)
    return pixels, np.array([label for _, label in files], dtype=np.int64)


def _pixels(file: Path, resolution: int) -> NDArray[np.uint8]:
    """One image as (R, R, 3) bytes: its central square, resized with smoothing."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            box = (left, top, left + side, top + side)
            # Cut before it is resized: the filter of `resize(box=...)` reaches beyond the box.
            square = image.crop(box).convert("RGB").resize((resolution, resolution), Image.Resampling.BILINEAR)
            return np.asarray(square)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"data: {file} cannot be read as an image: {first}") from error
