"""Image folders: both layouts, the cut and the draw, what is kept of them, and an error that names what is wrong."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gas.data import load
from gas.errors import DataError
from gas.proxies import create


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


DAMAGED = (b"", b"no image at all", b"\x89PNG\r\n\x1a\n cut")


def jpeg_cut_short() -> bytes:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole, "jpeg")
    return whole.getvalue()[:1500]


@pytest.mark.parametrize("content", [*DAMAGED, jpeg_cut_short()])
def test_an_unreadable_file_is_skipped_counted_and_named(plain: Path, content: bytes) -> None:
    before = load(plain, resolution=8)
    (plain / "red" / "0.png").write_bytes(content)
    data, again = load(plain, resolution=8), load(plain, resolution=8)
    assert len(data.train_labels) + len(data.val_labels) == 29
    assert data.skipped == again.skipped == 1
    assert data.unreadable == again.unreadable == ("red/0.png",)
    (note,) = data.notes()
    assert note == f"data: 1 of 30 images of {plain} could not be read and is skipped: red/0.png"
    assert (before.skipped, before.unreadable, before.notes()) == (0, (), ())
    # The others are in their old order; only the mean and the deviation have changed.
    assert data.train_labels.tolist() == again.train_labels.tolist()
    noisy = load(plain, resolution=8, noise=0.5)
    assert noisy.notes() == data.notes()


def test_what_is_skipped_is_left_out_of_images_and_labels(imagenet: Path) -> None:
    (imagenet / "train" / "red" / "3.jpg").write_bytes(b"gone")
    (imagenet / "val" / "blue" / "0.png").write_bytes(b"gone")
    data = load(imagenet, resolution=8)
    assert data.train_labels.bincount().tolist() == [12, 11]
    assert data.val_labels.bincount().tolist() == [3, 4]
    assert data.unreadable == ("train/red/3.jpg", "val/blue/0.png")
    redness = data.train_images[:, 0].mean(dim=(1, 2)) - data.train_images[:, 2].mean(dim=(1, 2))
    assert torch.equal((redness > 0).long(), data.train_labels)


def test_of_many_the_first_few_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name, (9, 9, 99), 20)
        for index in range(4):
            (tmp_path / name / f"{2 * index}.png").write_bytes(b"")
    (note,) = load(tmp_path, resolution=8).notes()
    assert note.startswith(f"data: 8 of 40 images of {tmp_path} could not be read and are skipped: ")
    assert note.endswith(", ...")
    assert note.count(".png") == 5


def test_a_proxy_tells_what_was_skipped(plain: Path) -> None:
    (plain / "red" / "0.png").write_bytes(b"")
    proxy = create("short_training", {"data": str(plain), "fidelity": {"resolution": 8}})
    assert proxy.notes() == ()
    proxy.prepare()
    assert proxy.notes() == proxy.images.notes() != ()


def test_a_class_that_keeps_one_image_is_an_error(plain: Path) -> None:
    for file in sorted((plain / "red").iterdir())[1:]:
        file.write_bytes(b"no image")
    with pytest.raises(
        DataError, match=r"got 1 of 10 images of class 'red' that can be read; expected at least 2; the"
    ):
        load(plain, resolution=8)


def test_more_than_half_unreadable_is_an_error(imagenet: Path) -> None:
    for file in sorted((imagenet / "val").glob("*/*"))[:5]:
        file.write_bytes(b"no image")
    text = r"got 5 of 8 validation images that cannot be read; expected at most half; the first is .*/val/.* cannot be"
    with pytest.raises(DataError, match=text) as caught:
        load(imagenet, resolution=8)
    assert "\n" not in str(caught.value)


def test_classes_with_one_image_by_choice_are_no_error(plain: Path) -> None:
    assert len(load(plain, resolution=8, images=2, validation=2).train_labels) == 2


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


def test_images_are_read_once(plain: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(plain, resolution=8)
    (kept,) = cache.iterdir()  # and nothing half written
    assert kept.match("folder-*.npz")
    monkeypatch.setattr("gas.data.folder._pixels", None)
    again = load(plain, resolution=8)
    assert torch.equal(again.train_images, first.train_images)
    assert torch.equal(again.val_labels, first.val_labels)


def test_it_is_read_again_where_anything_changed(plain: Path, cache: Path) -> None:
    load(plain, resolution=8)
    for changed in ({"resolution": 9}, {"seed": 1}, {"images": 5}, {"validation": 3}):
        load(plain, **{"resolution": 8, **changed})
    assert len(list(cache.iterdir())) == 5
    os.utime(plain / "red" / "0.png", ns=(1, 1))
    load(plain, resolution=8)
    (plain / "red" / "0.png").write_bytes((plain / "blue" / "0.png").read_bytes())
    os.utime(plain / "red" / "0.png", ns=(1, 1))
    load(plain, resolution=8)
    assert len(list(cache.iterdir())) == 7


def test_a_file_that_was_mended_is_read(plain: Path, cache: Path) -> None:
    whole = (plain / "red" / "0.png").read_bytes()
    (plain / "red" / "0.png").write_bytes(b"")
    assert load(plain, resolution=8).skipped == 1
    (plain / "red" / "0.png").write_bytes(whole)
    assert load(plain, resolution=8).skipped == 0


def test_what_the_system_could_not_read_is_tried_again(
    plain: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Image.open

    def failing(file: Path) -> Image.Image:
        if file.match("red/0.png"):
            raise OSError(errno.EIO, "Input/output error")
        return real(file)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", failing)
        assert load(plain, resolution=8).skipped == 1
    assert load(plain, resolution=8).skipped == 0


@pytest.mark.parametrize("place", [0, 10, 40, 200, 1000, -300, -60, -22, -1])
@pytest.mark.parametrize("damage", ["bit", "cut"])
def test_a_damaged_cache_is_made_again(plain: Path, cache: Path, place: int, damage: str) -> None:
    first = load(plain, resolution=8)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    place %= len(whole)
    kept.write_bytes(
        whole[:place] if damage == "cut" else whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
    )
    again = load(plain, resolution=8)
    assert torch.equal(again.train_images, first.train_images)
    assert again.skipped == 0


def test_without_a_place_for_the_cache_all_works(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "file"))
    assert torch.equal(load(plain, resolution=8).train_images, load(plain, resolution=8).train_images)


@pytest.mark.slow
def test_several_processes_may_read_one_folder_at_once(plain: Path, cache: Path) -> None:
    read = f"from gas.data import load; data = load({str(plain)!r}, resolution=8)"
    code = f"{read}; print(data.train_images.double().square().sum().item())"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
    assert len({process.communicate(timeout=120)[0] for process in running}) == 1
    assert [process.returncode for process in running] == [0] * 3
    (kept,) = cache.iterdir()
    assert kept.suffix == ".npz"


def test_a_class_that_validation_lacks_is_named(imagenet: Path) -> None:
    (imagenet / "val" / "red").rename(imagenet / "val" / "reds")
    with pytest.raises(DataError, match="got 'red'; expected the same classes as train; did you mean 'reds'"):
        load(imagenet, resolution=8)


def test_a_validation_folder_without_images_is_named(imagenet: Path) -> None:
    for file in (imagenet / "val").glob("*/*"):
        file.unlink()
    with pytest.raises(DataError, match="val holds no images"):
        load(imagenet, resolution=8)
