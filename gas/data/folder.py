"""A folder of the user's own images, in the layout of ImageNet: one folder per class.

Decoded and resized images are kept as `data/folder-KEY.npz` in the cache folder, which may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gas.data.base import ImageData, image_data, split
from gas.data.cache import cache_folder, read_arrays, write_arrays
from gas.errors import DataError, describe, first_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
IMAGES, VALIDATION = 4096, 1024
_NAMED, _THREADS = 5, 8
_FORMAT = 1  # raise when the pixels made of equal files change
_LAYOUTS = "`train/CLASS/*` with `val/CLASS/*`, or `CLASS/*`"

Files = list[tuple[Path, int]]


def load_folder(
    path: Path, *, resolution: int, images: int | None, validation: int | None, classes: int | None, seed: int
) -> ImageData:
    """Images from `path`, cut to their central square; by default 4,096 to train on and 1,024 to validate, at most.

    Without a `val` folder, a fifth of every class (at most `validation` in all) is held out, by seed. Where fewer
    images than there are are asked for, the seed draws them, each class alike. Images that cannot be read are skipped
    and counted.

    Raises:
        DataError: The folder is missing, holds fewer than two classes, or too few of its images can be read: fewer than
            two of a class, or less than half.
    """
    limit, val_limit = images or IMAGES, validation or VALIDATION
    names, train, held = find_images(path, validation=val_limit, classes=classes, seed=seed)
    train, held = _drawn(train, limit, seed), _drawn(held, val_limit, seed + 1)
    read, failed = _kept(train + held, resolution)
    whole = np.array([not reason for reason in failed])
    if not whole.all():
        _enough_left(path, names, train + held, failed, len(train))
    labels = np.array([label for _, label in train + held], dtype=np.int64)
    parts = [np.flatnonzero(whole[: len(train)]), np.flatnonzero(whole[len(train) :]) + len(train)]
    data = image_data(str(path), len(names), *((read[part], labels[part]) for part in parts))
    lost = [str(file.relative_to(path)) for (file, _), reason in zip(train + held, failed, strict=True) if reason]
    return replace(data, skipped=len(lost), unreadable=tuple(lost[:_NAMED]))


def find_images(
    path: Path, *, validation: int | None = None, classes: int | None = None, seed: int = 0
) -> tuple[list[str], Files, Files]:
    """What `path` holds: names of the classes, files to train on, files to validate on, each with its label.

    Without a `val` folder, a fifth of every class (at most `validation` in all) is held out, by seed.

    Raises:
        DataError: The folder is missing, or holds fewer than two classes, or too few images.
    """
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"data: {path} {problem}; expected a folder of images: {_LAYOUTS}")
    inner = path / "train" if (path / "train").is_dir() else path
    names = _classes(inner)[:classes]
    train, held = _files(inner, names), None
    if inner != path:
        held = _validation_files(path, names)
    if held is not None:
        return names, train, held
    labels = np.array([label for _, label in train])
    share = max(len(train) // 5, len(names))
    rest, out = split(labels, share if validation is None else min(validation, share), seed)
    return names, [train[i] for i in rest], [train[i] for i in out]


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


def _enough_left(path: Path, names: list[str], files: Files, failed: list[str], train: int) -> None:
    """DataError where so many files could not be read that what is left is not the data that was meant."""
    bad = [(file, reason) for (file, _), reason in zip(files, failed, strict=True) if reason]
    first = f"the first is {bad[0][0]}, which cannot be read as an image: {bad[0][1]}"
    for word, part in (("training", failed[:train]), ("validation", failed[train:])):
        count = sum(map(bool, part))
        if 2 * count > len(part):
            got = f"got {count} of {len(part)} {word} images that cannot be read"
            raise DataError(f"data: {path}: {got}; expected at most half; {first}")
    for label, name in enumerate(names):
        mine = [not reason for (_, own), reason in zip(files, failed, strict=True) if own == label]
        if sum(mine) < 2 and not all(mine):
            got = f"got {sum(mine)} of {len(mine)} images of class {name!r} that can be read"
            raise DataError(f"data: {path}: {got}; expected at least 2; {first}")


def _kept(files: Files, resolution: int) -> tuple[NDArray[np.uint8], list[str]]:
    """(N, R, R, 3) bytes, from the cache where these very files were read before; and why each could not be read."""
    path = cache_folder() / "data" / f"folder-{_key(files, resolution)}.npz"
    stored = read_arrays(path, ("pixels", "failed"))
    if stored is not None:
        return stored["pixels"], stored["failed"].tolist()
    pixels = np.zeros((len(files), resolution, resolution, 3), dtype=np.uint8)
    threads = min(_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, "images") as pool:  # decoding and resizing release the interpreter's lock
        results = list(pool.map(lambda row: _fill(pixels, row, files[row][0]), range(len(files))))
    failed = [reason for reason, _ in results]
    if all(lasting for _, lasting in results):
        write_arrays(path, {"pixels": pixels, "failed": np.array(failed, dtype=np.str_)}, compress=False)
    return pixels, failed


def _key(files: Files, resolution: int) -> str:
    """Changes with the choice and the order of the files, and where one of them was written to."""
    import PIL

    entries = []
    for file, _ in files:
        try:
            facts = file.stat()
            entries.append((str(file.absolute()), facts.st_size, facts.st_mtime_ns))
        except OSError:
            entries.append((str(file.absolute()), -1, -1))
    settings = [_FORMAT, PIL.__version__, resolution, entries]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _fill(pixels: NDArray[np.uint8], row: int, file: Path) -> tuple[str, bool]:
    """Reads one image into its row; why it could not be read (or nothing), and whether that will be so again."""
    from PIL import Image, UnidentifiedImageError

    try:
        pixels[row] = _pixels(file, pixels.shape[1])
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # With a number it was the system that failed (no permission, a lost disk), not the image.
        return first_line(error), getattr(error, "errno", None) is None
    return "", True


def _pixels(file: Path, resolution: int) -> NDArray[np.uint8]:
    """One image as (R, R, 3) bytes: its central square, resized with smoothing."""
    from PIL import Image

    with Image.open(file) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        # Cut before it is resized: the filter of `resize(box=...)` reaches beyond the box.
        square = image.crop(box).convert("RGB").resize((resolution, resolution), Image.Resampling.BILINEAR)
        return np.asarray(square)
