"""The bundled digits: their number, their split and what the labels mean."""

from __future__ import annotations

import pytest
import torch

from gas.data import load
from gas.data.base import ImageData


def nearest_centroid(data: ImageData) -> float:
    """Share of validation images whose class has the nearest mean training image (grey)."""
    train, val = (images.mean(dim=1).flatten(1) for images in (data.train_images, data.val_images))
    centroids = torch.stack([train[data.train_labels == c].mean(dim=0) for c in range(data.classes)])
    return (torch.cdist(val, centroids).argmin(dim=1) == data.val_labels).float().mean().item()


def test_all_images_are_used_once() -> None:
    data = load("digits", resolution=8)
    assert data.classes == 10
    assert len(data.train_labels) + len(data.val_labels) == 1797
    assert len(data.val_labels) == pytest.approx(599, abs=5)


def test_the_three_channels_are_the_same_digit() -> None:
    data = load("digits", resolution=32, images=20)
    torch.testing.assert_close(data.train_images[:, 0], data.train_images[:, 2])


def test_a_simple_rule_reads_them() -> None:
    assert nearest_centroid(load("digits", resolution=16)) > 0.8


def test_no_validation_image_is_trained_on() -> None:
    data = load("digits", resolution=8)
    nearest = torch.cdist(data.val_images[:, 0].flatten(1), data.train_images[:, 0].flatten(1)).amin(dim=1)
    assert (nearest > 1e-4).float().mean() > 0.99


def test_fewer_classes_and_images() -> None:
    data = load("digits", resolution=8, classes=3, images=30, validation=15)
    assert data.classes == 3
    assert len(data.train_labels) == 30
    assert set(data.val_labels.tolist()) == {0, 1, 2}
    assert len(data.val_labels) == pytest.approx(15, abs=2)
