"""Augmentations of a group: what each does to pixels and labels, that a seed repeats them, and a missing kornia."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from gas.errors import SettingError
from gas.trainer.augment import augmented, need_kornia
from gas.trainer.recipe import TrainingRecipe

SCALE = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.5]).view(3, 1, 1)


def images(count: int = 8, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def grouped(recipe: TrainingRecipe, seed: int = 3, count: int = 8):
    return augmented(images(count), torch.arange(count), recipe, scale=SCALE, seed=seed)


def test_nothing_asked_for_standardises_alone():
    group = grouped(TrainingRecipe())
    assert torch.equal(group.images, (images() - SCALE[0]) / SCALE[1])
    assert torch.equal(group.labels, group.others)
    assert torch.equal(group.share, torch.ones(8))


@pytest.mark.parametrize(
    "fields",
    [
        {"flip": 0.5},
        {"shift": True},
        {"erase": 0.9},
        {"mixup": 0.8},
        {"cutmix": 1.0},
        {"randaugment": 2, "magnitude_noise": 0.5},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_seed_repeats_what_is_drawn_and_leaves_torch_alone(fields):
    recipe = TrainingRecipe(**fields)
    before = torch.get_rng_state()
    first, torch_after = grouped(recipe), torch.get_rng_state()
    torch.manual_seed(99)
    again = grouped(recipe)
    assert torch.equal(before, torch_after)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.share, again.share)
    others = [grouped(recipe, seed=seed).images for seed in range(10, 16)]
    assert any(not torch.equal(first.images, other) for other in others)
    assert first.images.isfinite().all()


def test_flip_mirrors_its_share():
    group = grouped(TrainingRecipe(flip=1.0))
    assert torch.equal(group.images, ((images() - SCALE[0]) / SCALE[1]).flip(3))


def test_erasing_sets_a_rectangle_to_the_mean():
    plain, erased = grouped(TrainingRecipe()).images, grouped(TrainingRecipe(erase=1.0)).images
    changed = (plain != erased).any(dim=1)  # (B, R, R)
    assert (erased.movedim(1, -1)[changed] == 0).all()
    for one in changed:
        rows, columns = one.any(dim=1), one.any(dim=0)
        assert one.sum() == rows.sum() * columns.sum() > 0  # a rectangle
        assert one.sum() / one.numel() < 0.45


def test_mixup_blends_pixels_and_labels_alike():
    group, plain = grouped(TrainingRecipe(mixup=0.8)), grouped(TrainingRecipe()).images
    share = group.share[0]
    assert 0 < share < 1
    assert (group.share == share).all()
    assert sorted(group.others.tolist()) == list(range(8))
    torch.testing.assert_close(group.images, share * plain + (1 - share) * plain[group.others])


def test_cutmix_share_is_that_of_the_pixels():
    shares = []
    for seed in range(6):
        group, plain = grouped(TrainingRecipe(cutmix=1.0), seed=seed), grouped(TrainingRecipe()).images
        own = (group.images == plain).all(dim=1).float().mean(dim=(1, 2))  # (B,)
        moved = group.others != group.labels
        torch.testing.assert_close(own[moved], group.share[moved])
        theirs = (group.images == plain[group.others]).all(dim=1).float().mean(dim=(1, 2))
        torch.testing.assert_close(theirs[moved], 1 - group.share[moved])
        shares.append(group.share[0].item())
    assert len(set(shares)) > 3


def test_switch_and_mix_are_shares_of_the_groups():
    recipe = TrainingRecipe(mixup=0.8, cutmix=1.0, mix=0.5, switch=0.25)
    plain = grouped(TrainingRecipe()).images
    kinds = []
    for seed in range(400):
        group = grouped(recipe, seed=seed)
        if torch.equal(group.images, plain) and (group.share == 1).all():
            kinds.append("none")
            continue
        cut = ((group.images == plain) | (group.images == plain[group.others])).all()
        kinds.append("cutmix" if cut else "mixup")
    found = [kinds.count(kind) / 400 for kind in ("none", "mixup", "cutmix")]
    # Three deviations of a share of 400; a CutMix too small to see counts as none.
    np.testing.assert_allclose(found, [0.5, 0.375, 0.125], atol=0.08)


def test_randaugment_strength_follows_the_recipe():
    from gas.trainer import augment

    grouped(TrainingRecipe(randaugment=2, magnitude=4.0))
    assert augment._operations(2).m == pytest.approx(12)  # kornia counts to 30
    assert augment._operations(2).n == 2


def test_a_missing_kornia_is_told_in_a_line(monkeypatch):
    need_kornia(TrainingRecipe(shift=True, mixup=1.0))
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)
    with pytest.raises(SettingError, match=r"^recipe: erase: needs the package kornia, .* pip install 'gas\[train\]'$"):
        need_kornia(TrainingRecipe(erase=0.1))
    need_kornia(TrainingRecipe(shift=True))
