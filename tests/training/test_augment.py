"""Augmentations: each by its own definition, one image at a time, and drawn from the generator alone.

Shapes: B batch, R side of an image.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gas.training import AUGMENTATIONS
from gas.training.augment import ERASED, MIXTURES, PICTURES, _beta, augmented, cutmix, erase, flip, mixup, shift

B, R = 400, 16


@pytest.fixture
def images() -> Tensor:
    return torch.randn(B, 3, R, R, generator=torch.Generator().manual_seed(1))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_equal_generators_give_equal_images_and_torch_is_left_alone(name: str, images: Tensor) -> None:
    before, kept = torch.get_rng_state(), images.clone()
    one, again, other = (augmented(images, (name,), draw(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(images, kept)  # never in place
    assert torch.equal(torch.get_rng_state(), before)
    assert one.shape == images.shape
    assert one.dtype == images.dtype


def test_nothing_named_draws_nothing(images: Tensor) -> None:
    generator = draw()
    before = generator.get_state()
    same, partner, share = augmented(images, (), generator)
    assert same is images
    assert partner is None
    assert share == 1
    assert torch.equal(generator.get_state(), before)


def test_half_of_the_images_are_mirrored(images: Tensor) -> None:
    done = flip(images, draw())
    mirrored = [torch.equal(new, old.flip(2)) for new, old in zip(done, images, strict=True)]
    left = [torch.equal(new, old) for new, old in zip(done, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, left, strict=True))
    assert sum(mirrored) == pytest.approx(B / 2, abs=50)  # 5 deviations


def test_an_image_is_moved_and_what_comes_in_is_nothing(images: Tensor) -> None:
    done, moves = shift(images, draw()), set()
    for new, old in zip(done, images, strict=True):
        padded = torch.nn.functional.pad(old, (2, 2, 2, 2))
        found = [(i, j) for i in range(5) for j in range(5) if torch.equal(padded[:, i : i + R, j : j + R], new)]
        assert len(found) == 1
        moves |= set(found)
    assert len(moves) == 25  # all of them, within an eighth of the side


def test_small_images_cannot_be_moved() -> None:
    tiny = torch.randn(4, 3, 4, 4)
    assert torch.equal(shift(tiny, draw()), tiny)


def test_a_quarter_of_the_images_lose_a_rectangle(images: Tensor) -> None:
    gone = (erase(images, draw()) == 0) & (images != 0)  # (B, 3, R, R)
    assert torch.equal(gone.any(dim=1), gone.all(dim=1))  # all channels alike
    hit = gone.any(dim=1).flatten(1).any(dim=1)
    assert hit.float().mean().item() == pytest.approx(ERASED, abs=0.11)
    for mask in gone[hit, 0]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])
        for line in (rows, columns):
            assert line.int().diff().abs().sum() <= 2  # in one piece
    share = gone[hit, 0].float().mean(dim=(1, 2))
    assert share.max() < 1 / 3 + 0.1
    assert share.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.05)
    untouched = (~gone).float() * images
    assert torch.equal(erase(images, draw()), untouched)


def test_mixup_is_a_weighted_sum(images: Tensor) -> None:
    mixed, partner, share = mixup(images, draw(3))
    assert sorted(partner.tolist()) == list(range(B))
    torch.testing.assert_close(mixed, torch.lerp(images[partner], images, share))
    assert 0 <= share <= 1


def test_cutmix_takes_a_rectangle_and_its_share(images: Tensor) -> None:
    shares = []
    for seed in range(40):
        mixed, partner, share = cutmix(images, draw(seed))
        own = (mixed == images).all(dim=1)  # (B, R, R)
        theirs = (mixed == images[partner]).all(dim=1)
        assert (own | theirs).all()
        moved = partner != torch.arange(B)
        assert own[moved].float().mean().item() == pytest.approx(share.item(), abs=1e-6)
        shares.append(share.item())
    assert min(shares) < 0.3 < 0.8 < max(shares)


def test_shares_have_the_moments_of_beta() -> None:
    generator = draw()
    drawn = torch.stack([_beta(0.2, generator) for _ in range(3000)])
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.04)
    assert drawn.var().item() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_of_two_mixtures_each_batch_draws_one(images: Tensor) -> None:
    kinds = set()
    for seed in range(12):
        mixed, partner, _ = augmented(images, ("mixup", "cutmix"), draw(seed))
        either = ((mixed == images) | (mixed == images[partner])).float().mean().item()
        kinds.add(either > 0.99)
    assert kinds == {True, False}


def test_pictures_are_done_in_order_and_before_mixtures(images: Tensor) -> None:
    generator = draw()
    expected = mixup(erase(flip(images, generator), generator), generator)[0]
    assert torch.equal(augmented(images, ("mixup", "flip", "erase"), draw())[0], expected)
    assert set(AUGMENTATIONS) == {*PICTURES, *MIXTURES}
