"""Images in memory and from a folder: what batches hold, that crops repeat, and files that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from trainer.small_training import digits, folder

from gas.data import load
from gas.errors import DataError
from gas.trainer.decoding import central_box, random_box
from gas.trainer.images import open_images
from gas.trainer.recipe import TrainingRecipe

CROPS = TrainingRecipe(crop=0.2, central=0.8)


def test_digits_are_pixels_again_and_standardise_to_the_source():
    data, images = load("digits", resolution=16, images=96, validation=40), digits()
    pixels, labels = next(images.train([[5, 3, 8]], 0))
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    mean, deviation = images.scale
    torch.testing.assert_close((pixels - mean) / deviation, data.train_images[[5, 3, 8]], rtol=1e-5, atol=1e-5)
    assert torch.equal(labels, data.train_labels[[5, 3, 8]])
    assert images.classes == tuple("0123456789")


def test_a_part_of_the_training_images_is_held_out():
    plain, held = digits(), digits(hold_out=0.25)
    assert held.train_count + held.val_count == plain.train_count == 96
    known = {tuple(image.flatten().tolist()) for image in plain._parts[0][0]}
    ours, theirs = ({tuple(image.flatten().tolist()) for image in part[0]} for part in held._parts)
    assert ours | theirs == known
    assert not ours & theirs


def test_a_folder_is_read_as_it_lies_there(tmp_path):
    images = open_images(str(folder(tmp_path)), resolution=8, recipe=TrainingRecipe(central=0.5))
    assert images.classes == ("cats", "dogs")
    assert (images.train_count, images.val_count) == (12, 12)
    pixels, labels = next(images.validation([[0, 11]]))
    assert labels.tolist() == [0, 1]
    with Image.open(tmp_path / "val" / "dogs" / "5.png") as image:  # 24 x 20: the middle 10 x 10 of it
        cut = image.crop((7, 5, 17, 15)).resize((8, 8), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(cut)).permute(2, 0, 1) / 255
    torch.testing.assert_close(pixels[1], expected)
    assert images.notes() == ()


def test_crops_follow_from_seed_epoch_and_image_alone(tmp_path):
    path = str(folder(tmp_path))
    images = open_images(path, resolution=8, recipe=CROPS)
    torch.manual_seed(1)
    first = [pixels for pixels, _ in images.train([[0, 1], [2, 3]], 0)]
    torch.manual_seed(2)
    again = [pixels for pixels, _ in images.train([[3, 0, 2, 1]], 0)]
    assert torch.equal(torch.cat(first), again[0][[1, 3, 2, 0]])
    assert not torch.equal(first[0], next(images.train([[0, 1]], 1))[0])
    other = open_images(path, resolution=8, recipe=CROPS.model_copy(update={"seed": 1}))
    assert not torch.equal(first[0], next(other.train([[0, 1]], 0))[0])


def test_a_folder_without_val_keeps_a_fifth_of_each_class(tmp_path):
    path = folder(tmp_path, each=10, split=False)
    images = open_images(str(path), resolution=8, recipe=CROPS)
    assert (images.train_count, images.val_count) == (16, 4)
    labels = torch.cat([labels for _, labels in images.validation([[0, 1], [2, 3]])])
    assert sorted(labels.tolist()) == [0, 0, 1, 1]


def test_unreadable_images_are_replaced_counted_and_named(tmp_path):
    path = folder(tmp_path)
    (path / "train" / "cats" / "2.png").write_bytes(b"no image")
    (path / "val" / "dogs" / "0.png").write_bytes(b"")
    images = open_images(str(path), resolution=8, recipe=TrainingRecipe())
    pixels, labels = next(images.train([[2, 3]], 0))
    assert torch.equal(pixels[0], pixels[1])  # the next one in its place
    assert labels.tolist() == [0, 0]
    held = [labels for _, labels in images.validation([[5, 6], [6], [7]])]
    assert [part.tolist() for part in held] == [[0], [1]]
    (note,) = images.notes()
    assert note == "data: 2 images could not be read and are skipped: train/cats/2.png, val/dogs/0.png"


def test_too_many_unreadable_images_are_refused(tmp_path):
    path = folder(tmp_path)
    for file in (path / "train").rglob("*.png"):
        file.write_bytes(b"no image")
    images = open_images(str(path), resolution=8, recipe=TrainingRecipe())
    with pytest.raises(DataError, match=r"got 12 images that cannot be read, and 0 that can; expected at most half"):
        list(images.train([[0, 1]], 0))


@pytest.mark.parametrize("classes", [(), ("cats",)])
def test_an_empty_folder_or_one_class_is_refused(tmp_path, classes):
    folder(tmp_path, classes=classes)
    (tmp_path / "train").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=f"holds {len(classes)} class folders; expected at least 2"):
        open_images(str(tmp_path), resolution=8, recipe=TrainingRecipe())


def test_data_that_is_nowhere(tmp_path):
    with pytest.raises(DataError, match="did you mean 'digits'"):
        open_images("digit", resolution=8, recipe=TrainingRecipe())
    with pytest.raises(DataError, match="does not exist"):
        open_images(str(tmp_path / "x"), resolution=8, recipe=TrainingRecipe())


@given(width=st.integers(1, 400), height=st.integers(1, 400), least=st.floats(0.05, 1.0), seed=st.integers(0, 10**6))
def test_a_random_crop_lies_within_and_is_as_large_as_asked(width, height, least, seed):
    left, top, right, bottom = random_box((width, height), least, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    if (left, top, right, bottom) != central_box((width, height), 1.0):
        # Sides are rounded: half a pixel each.
        assert (w + 0.5) * (h + 0.5) >= least * width * height * 0.999
        assert (w - 0.5) / (h + 0.5) <= 4 / 3 + 1e-9
        assert (w + 0.5) / (h - 0.5) >= 3 / 4 - 1e-9


@pytest.mark.slow
def test_decoding_processes_give_the_same_images(tmp_path):
    path = str(folder(tmp_path))
    batches = [[0, 7, 3], [11, 2, 5]]
    alone = open_images(path, resolution=8, recipe=CROPS)
    helped = open_images(path, resolution=8, recipe=CROPS, loaders=2)
    for (one, own), (other, theirs) in zip(alone.train(batches, 3), helped.train(batches, 3), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(own, theirs)
