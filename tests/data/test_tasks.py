"""Tasks without labels: what is done to the images, how often, and that the labels play no part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gas.data import ImageData, load
from gas.data.tasks import ORDERS, TASKS, patch_order, rotation
from gas.errors import SettingError


def data(images: int = 20, validation: int = 10, resolution: int = 8) -> ImageData:
    return load("digits", resolution=resolution, images=images, validation=validation)


def undone(image: np.ndarray, name: str, kind: int) -> np.ndarray:
    """(3, R, R): the image before, patch by patch."""
    if name == "rotation":
        return np.rot90(image, -kind, axes=(1, 2))
    half, before = image.shape[1] // 2, np.empty_like(image)
    for place, source in enumerate(ORDERS[kind]):
        down, right = divmod(place, 2)
        old_down, old_right = divmod(source, 2)
        patch = image[:, down * half : (down + 1) * half, right * half : (right + 1) * half]
        before[:, old_down * half : (old_down + 1) * half, old_right * half : (old_right + 1) * half] = patch
    return before


@pytest.mark.parametrize("name", TASKS)
def test_what_was_done_can_be_undone(name: str) -> None:
    given = data()
    wanted = {"train": 130, "val": 25}
    task = TASKS[name](given, images=wanted["train"], validation=wanted["val"], seed=3)
    kinds = {"patch_order": 24, "rotation": 4}[name]
    assert task.classes == kinds
    for part, images in (("train", given.train_images), ("val", given.val_images)):
        made, labels = getattr(task, f"{part}_images").numpy(), getattr(task, f"{part}_labels")
        copies = min(-(-wanted[part] // len(images)), kinds)
        assert len(made) == len(labels) == copies * len(images)
        for index in range(0, len(made), 3):
            original = images[index // copies].numpy()
            np.testing.assert_array_equal(undone(made[index], name, int(labels[index])), original)
        assert all(len(set(same.tolist())) == copies for same in labels.split(copies))
        counts = labels.bincount(minlength=kinds)
        assert counts.max() - counts.min() <= copies


@pytest.mark.parametrize("name", TASKS)
def test_labels_are_not_read_and_the_seed_decides(name: str) -> None:
    given = data()
    blank = replace(given, train_labels=given.train_labels * 0, val_labels=given.val_labels * 0)
    first, again, other = (TASKS[name](d, images=50, seed=s) for d, s in ((given, 1), (blank, 1), (given, 2)))
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.val_labels, again.val_labels)
    assert not torch.equal(first.train_labels, other.train_labels)
    assert torch.equal(given.train_images, data().train_images)  # what was given is left alone


@pytest.mark.parametrize(("wanted", "expected"), [(0, 20), (20, 20), (21, 40), (60, 60), (61, 80), (10_000, 80)])
def test_there_are_as_many_as_are_wanted_as_long_as_they_differ(wanted: int, expected: int) -> None:
    assert len(rotation(data(), images=wanted).train_labels) == expected


def test_an_odd_side_cannot_be_cut_in_half() -> None:
    with pytest.raises(SettingError, match=r"fidelity.resolution: got 9; expected an even number"):
        patch_order(data(resolution=9))
    assert rotation(data(resolution=9)).resolution == 9
