"""Fractals: systems contract, classes can be told apart, images are kept and made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gas.data import load
from gas.data.procedural import MAPS, density, draw, sample_classes, sample_system, vary


def singular_values(maps: np.ndarray) -> np.ndarray:
    return np.linalg.svd(maps[..., :4].reshape(*maps.shape[:-1], 2, 2).astype(float), compute_uv=False)


@pytest.mark.parametrize("seed", range(20))
def test_a_system_contracts_and_its_singular_values_add_up(seed: int) -> None:
    maps, probabilities = sample_system(np.random.default_rng(seed))
    count = int((probabilities > 0).sum())
    values = singular_values(maps)
    assert 2 <= count <= MAPS
    assert values.max() <= 1 + 1e-6
    assert (5 + count) / 2 - 1e-5 <= (values[:, 0] + 2 * values[:, 1]).sum() <= (6 + count) / 2 + 1e-5
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_a_variation_changes_one_parameter_and_still_contracts() -> None:
    rng = np.random.default_rng(0)
    systems = sample_classes(rng, 8)
    varied = vary(rng, (np.repeat(systems[0], 10, axis=0), np.repeat(systems[1], 10, axis=0)))
    assert singular_values(varied[0]).max() <= 0.98 + 1e-4
    assert not np.array_equal(varied[0][::10], systems[0])
    assert np.array_equal(varied[1][::10], systems[1])


def test_the_chaos_game_finds_the_sierpinski_triangle() -> None:
    corners = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)]
    maps = np.zeros((1, MAPS, 6), dtype=np.float32)
    maps[0, :3] = [[0.5, 0, 0, 0.5, *corner] for corner in corners]
    probabilities = np.zeros((1, MAPS), dtype=np.float32)
    probabilities[0, :3] = 1 / 3
    filled = density(np.random.default_rng(0), (maps, probabilities), 64)[0] > 0
    assert filled[:30, :30].mean() > 0.2  # the part at the origin
    assert filled[36:, 36:].mean() == 0  # nothing beyond the long side
    assert filled[18:22, 18:22].mean() == 0  # the hole in the middle of the part at the origin
    assert filled.mean() == pytest.approx((3 / 4) ** 5, rel=0.35)  # cells left after five subdivisions


def test_images_are_bytes_and_differ_within_a_class() -> None:
    rng = np.random.default_rng(0)
    maps, probabilities = sample_classes(rng, 2)
    same = np.zeros(6, dtype=int)
    images = draw(rng, (maps[same], probabilities[same]), 32)
    assert images.shape == (6, 32, 32, 3)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 6


def test_classes_can_be_told_apart_by_shape_alone() -> None:
    data = load("procedural", resolution=32, images=512, validation=256, classes=8)
    train, val = (images.mean(dim=1).flatten(1) for images in (data.train_images, data.val_images))
    centroids = torch.stack([train[data.train_labels == c].mean(dim=0) for c in range(8)])
    right = (torch.cdist(val, centroids).argmin(dim=1) == data.val_labels).float().mean().item()
    assert 0.4 < right < 0.999  # chance is 0.125, and mean images must not be all that it takes
    assert data.train_labels.bincount().tolist() == [64] * 8


def test_colour_says_nothing_about_the_class() -> None:
    data = load("procedural", resolution=16, images=512, validation=256, classes=8)
    train, val = (
        images.amax(dim=(2, 3)) - images.mean(dim=1, keepdim=True).amax(dim=(2, 3))
        for images in (data.train_images, data.val_images)
    )
    centroids = torch.stack([train[data.train_labels == c].mean(dim=0) for c in range(8)])
    right = (torch.cdist(val, centroids).argmin(dim=1) == data.val_labels).float().mean().item()
    assert right < 0.35


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def small() -> torch.Tensor:
    return load("procedural", resolution=16, images=64, validation=32, classes=4, seed=5).train_images


def test_images_are_kept_and_read_back(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small()
    files = list(cache.rglob("*"))
    assert [f.suffix for f in files if f.is_file()] == [".npz"]  # nothing half written is left
    monkeypatch.setattr("gas.data.procedural.draw", None)  # reading must not make anything
    assert torch.equal(small(), first)


@pytest.mark.parametrize("damage", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_made_again(cache: Path, damage: bytes) -> None:
    first = small()
    (stored,) = cache.rglob("*.npz")
    stored.write_bytes(damage)
    assert torch.equal(small(), first)
    assert stored.stat().st_size > 1000


def test_an_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("GAS_CACHE", str(blocked))
    assert torch.equal(small(), small())
    assert blocked.is_file()
