"""What all sources promise: shapes, standardised channels, the split, noise, and the errors of `load`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gas.data import DATA, ImageData, load
from gas.data.base import image_data, resize, split
from gas.errors import DataError, SettingError


@pytest.mark.parametrize("name", DATA.names())
def test_every_source_gives_standardised_images_of_the_size_asked_for(name: str) -> None:
    data = load(name, resolution=32, images=96, validation=40, seed=3)
    assert data.train_images.shape == (96, 3, 32, 32)
    assert data.resolution == 32
    assert data.train_images.dtype == data.val_images.dtype == torch.float32
    assert data.train_labels.dtype == data.val_labels.dtype == torch.int64
    assert len(data.train_labels) == 96
    assert 0 < len(data.val_labels) <= 50
    for labels in (data.train_labels, data.val_labels):
        assert set(labels.tolist()) == set(range(data.classes))
    torch.testing.assert_close(data.train_images.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(data.train_images.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", DATA.names())
def test_images_follow_from_the_seed(name: str) -> None:
    first, again, other = (load(name, resolution=16, images=64, validation=32, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.val_images, again.val_images)
    assert torch.equal(first.train_labels, again.train_labels)
    assert not torch.equal(first.train_images, other.train_images)


def test_noise_keeps_the_scale_and_the_labels() -> None:
    clean, noisy, again = (load("digits", resolution=16, noise=n) for n in (0.0, 1.0, 1.0))
    assert torch.equal(noisy.train_images, again.train_images)
    assert torch.equal(noisy.val_labels, clean.val_labels)
    assert noisy.train_images.std().item() == pytest.approx(1.0, abs=0.01)
    # Half of the variance is signal: correlation with the clean images is 1 / sqrt(2).
    both = torch.stack([clean.train_images.flatten(), noisy.train_images.flatten()])
    assert torch.corrcoef(both)[0, 1].item() == pytest.approx(0.5**0.5, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"resolution": 0}, "resolution: got 0; expected a whole number of at least 1"),
        ({"images": 0}, "images: got 0"),
        ({"validation": -1}, "validation: got -1"),
        ({"classes": 1}, "classes: got 1; expected at least 2"),
        ({"noise": -0.5}, "noise: got -0.5"),
        ({"noise": float("nan")}, "noise: got nan"),
    ],
)
def test_a_number_out_of_range_is_named(settings: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        load("digits", **{"resolution": 16, **settings})


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(
        DataError, match=r"got 'digit'; expected one of contours, digits, procedural, .*did you mean 'digits'"
    ):
        load("digit", resolution=16)


def test_split_takes_like_shares_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    train, val = split(labels, 32, seed=0)
    assert sorted([*train, *val]) == list(range(160))
    assert np.bincount(labels[val]).tolist() == [20, 10, 2]
    assert set(labels[train[:40]]) == {0, 1, 2}  # shuffled


def test_split_leaves_something_of_a_small_class_on_both_sides() -> None:
    labels = np.array([0] * 98 + [1] * 2)
    train, val = split(labels, 5, seed=0)
    assert (labels[train] == 1).sum() == (labels[val] == 1).sum() == 1


def test_resize_averages_where_it_shrinks() -> None:
    stripes = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    small = resize(stripes, 2)
    assert small.shape == (1, 2, 2, 3)
    assert np.abs(small.astype(int) - 100).max() <= 15


def test_a_channel_without_spread_stays_finite() -> None:
    black = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    data = image_data("black", 2, (black, [0, 1, 0, 1]), (black[:2], [0, 1]))
    assert isinstance(data, ImageData)
    assert torch.isfinite(data.train_images).all()
