"""Image folders: both layouts, the cut and the draw, and an error that names what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gas.data import load
from gas.errors import DataError


def fill(folder: Path, colour: tuple[int, int, int], count: int, size: tuple[int, int] = (20, 20)) -> None:
    """`count` images near one colour, each a little different."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for index in range(count):
        pixels = np.clip(np.array(colour) + rng.integers(-20, 21, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.{('png', 'jpg')[index % 2]}")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    fill(tmp_path / "set" / "blue", (20, 20, 220), 20)
    fill(tmp_path / "set" / "red", (220, 20, 20), 10)
    return tmp_path / "set"


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    for part, count in (("train", 12), ("val", 4)):
        fill(tmp_path / "set" / part / "blue", (20, 20, 220), count)
        fill(tmp_path / "set" / part / "red", (220, 20, 20), count)
    return tmp_path / "set"


def test_classes_in_one_folder_are_split_by_seed(plain: Path) -> None:
    data, again, other = (load(str(plain), resolution=16, seed=s) for s in (0, 0, 1))
    assert data.classes == 2
    assert (len(data.train_labels), len(data.val_labels)) == (24, 6)
    assert data.val_labels.bincount().tolist() == [4, 2]
    assert torch.equal(data.train_images, again.train_images)
    assert not torch.equal(data.val_images, other.val_images)


def test_the_layout_of_imagenet_keeps_its_own_split(imagenet: Path) -> None:
    data = load(imagenet, resolution=16)
    assert data.name == str(imagenet)
    assert data.train_labels.bincount().tolist() == [12, 12]
    assert data.val_labels.bincount().tolist() == [4, 4]


def test_labels_follow_the_names_of_the_folders(imagenet: Path) -> None:
    data = load(imagenet, resolution=8)
    redness = data.val_images[:, 0].mean(dim=(1, 2)) - data.val_images[:, 2].mean(dim=(1, 2))
    assert torch.equal((redness > 0).long(), data.val_labels)  # blue is 0, red is 1


def test_fewer_images_are_drawn_from_every_class(plain: Path) -> None:
    data = load(plain, resolution=8, images=6, validation=2)
    assert Counter(data.train_labels.tolist()) == {0: 3, 1: 3}
    assert Counter(data.val_labels.tolist()) == {0: 1, 1: 1}


def test_the_central_square_is_cut(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            wide = np.zeros((10, 30, 3), dtype=np.uint8)
            wide[:, 10:20] = 255 if name == "a" else 100  # all that is left of either side is black
            Image.fromarray(wide).save(tmp_path / name / f"{index}.png")
    data = load(tmp_path, resolution=8)
    for image in data.train_images:
        assert image.std().item() == pytest.approx(0, abs=1e-5)
    assert len({round(v, 3) for v in data.train_images.mean(dim=(1, 2, 3)).tolist()}) == 2


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9), 80).save(tmp_path / name / "grey.png")
        Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(tmp_path / name / "clear.png")
    assert load(tmp_path, resolution=8).train_images.shape[1:] == (3, 8, 8)


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; expected a folder of images: `train/CLASS"):
        load(str(tmp_path / "nowhere"), resolution=8)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"file\.png is not a folder"):
        load(tmp_path / "file.png", resolution=8)


def test_an_empty_folder_has_no_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 0 class folders; expected at least 2"):
        load(tmp_path, resolution=8)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    fill(tmp_path / "only", (0, 0, 0), 3)
    with pytest.raises(DataError, match="holds 1 class folders; expected at least 2"):
        load(tmp_path, resolution=8)


def test_a_class_without_images_is_named(plain: Path) -> None:
    (plain / "green").mkdir()
    (plain / "green" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"green holds 0 images; expected at least 2 files of \.png"):
        load(plain, resolution=8)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n cut"])
def test_an_unreadable_file_is_named(plain: Path, content: bytes) -> None:
    (plain / "red" / "0.png").write_bytes(content)
    with pytest.raises(DataError, match=r"red/0\.png cannot be read as an image"):
        load(plain, resolution=8)


def test_a_class_that_validation_lacks_is_named(imagenet: Path) -> None:
    (imagenet / "val" / "red").rename(imagenet / "val" / "reds")
    with pytest.raises(DataError, match="got 'red'; expected the same classes as train; did you mean 'reds'"):
        load(imagenet, resolution=8)


def test_a_validation_folder_without_images_is_named(imagenet: Path) -> None:
    for file in (imagenet / "val").glob("*/*"):
        file.unlink()
    with pytest.raises(DataError, match="val holds no images"):
        load(imagenet, resolution=8)
