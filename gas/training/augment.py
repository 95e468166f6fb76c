"""Augmentations of a batch of images that is in memory already, drawn from the training's own generator.

Draws are made on the CPU, so that they are the same whatever device the images are on.

Shapes: B batch, R side of an image, pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

SHIFT = 8
"""An image moves by at most 1/8 of its side along each axis."""
ERASED, ERASE_AREA, ERASE_RATIO = 0.25, (0.02, 1 / 3), (0.3, 1 / 0.3)
MIXUP = 0.2

Mixed = tuple[Tensor, Tensor, Tensor]
"""(B, 3, R, R) images; (B,) index of the image mixed into each; 0-dimensional share of its own that each keeps."""


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Every other image, by chance, mirrored left to right. Not for images whose class it changes, such as digits."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def shift(images: Tensor, generator: Generator) -> Tensor:
    """Every image moved by up to an eighth of its side along each axis; what comes in from outside is 0, the mean."""
    side = images.shape[-1]
    most = side // SHIFT
    moves = torch.randint(-most, most + 1, (2, len(images), 1), generator=generator)
    place = torch.arange(side) - moves  # (2, B, R): from where each row and column comes
    inside = (place >= 0) & (place < side)
    kept = (inside[0][:, :, None] & inside[1][:, None, :]).to(images.device)  # (B, R, R)
    rows, columns = place.clamp(0, side - 1).to(images.device)
    first = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[first, rows[:, :, None], columns[:, None, :]]  # (B, R, R, 3)
    return moved.permute(0, 3, 1, 2) * kept[:, None]


def erase(images: Tensor, generator: Generator) -> Tensor:
    """A quarter of the images, by chance, with a rectangle of 2% to a third of the area set to 0, the mean.

    Source: random erasing, arXiv 1708.04896, section 3.2. Differs: a side longer than the image is cut to it.
    """
    count, side = len(images), images.shape[-1]
    chance, area, ratio, *centre = torch.rand(5, count, generator=generator)
    area = ERASE_AREA[0] + (ERASE_AREA[1] - ERASE_AREA[0]) * area
    ratio = ERASE_RATIO[0] * (ERASE_RATIO[1] / ERASE_RATIO[0]) ** ratio
    sides = ((area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1))
    lines = []
    for length, place in zip(sides, centre, strict=True):
        start = (place * (1 - length))[:, None] * side
        pixel = torch.arange(side) + 0.5
        lines.append((pixel >= start) & (pixel < start + length[:, None] * side))  # (B, R)
    gone = lines[0][:, :, None] & lines[1][:, None, :] & (chance < ERASED)[:, None, None]  # (B, R, R)
    return images.masked_fill(gone.to(images.device)[:, None], 0.0)


def mixup(images: Tensor, generator: Generator) -> Mixed:
    """Every image blended with another of the batch; the share is drawn from Beta(0.2, 0.2), one for the batch.

    Source: mixup, arXiv 1710.09412, section 2.
    """
    share = _beta(MIXUP, generator)
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    share = share.to(images.device)
    return share * images + (1 - share) * images[partner], partner, share


def cutmix(images: Tensor, generator: Generator) -> Mixed:
    """A rectangle of every image replaced by that of another of the batch; the share kept is uniform before rounding.

    Source: CutMix, arXiv 1905.04899, section 3.1.
    """
    side = images.shape[-1]
    kept, *centre = torch.rand(3, generator=generator).tolist()
    half = (1 - kept) ** 0.5 * side / 2
    (top, bottom), (left, right) = (
        (round(max(place * side - half, 0)), round(min(place * side + half, side))) for place in centre
    )
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / side**2
    return mixed, partner, torch.tensor(share, device=images.device)


PICTURES: dict[str, Callable[[Tensor, Generator], Tensor]] = {"flip": flip, "shift": shift, "erase": erase}
MIXTURES: dict[str, Callable[[Tensor, Generator], Mixed]] = {"mixup": mixup, "cutmix": cutmix}
AUGMENTATIONS = (*PICTURES, *MIXTURES)
"""All names. Those of MIXTURES come behind the others; where both are asked for, every batch draws one of them."""


def augmented(images: Tensor, names: Sequence[str], generator: Generator) -> tuple[Tensor, Tensor | None, Tensor]:
    """A batch through the augmentations named.

    Args:
        images: (B, 3, R, R), each channel with mean 0.
        names: Members of AUGMENTATIONS.
        generator: On the CPU.

    Returns:
        The images; and where they were mixed, (B,) whose label each also bears, else None; and the share of its own.
    """
    for name in names:
        if name in PICTURES:
            images = PICTURES[name](images, generator)
    mixtures = [MIXTURES[name] for name in names if name in MIXTURES]
    if not mixtures:
        return images, None, torch.ones((), device=images.device)
    drawn = int(torch.randint(len(mixtures), (), generator=generator)) if len(mixtures) > 1 else 0
    return mixtures[drawn](images, generator)


def _beta(alpha: float, generator: Generator) -> Tensor:
    """One draw from Beta(alpha, alpha), 0-dimensional. Source: M. D. Jöhnk, Metrika 8, 1964."""
    while True:
        x, y = torch.rand(2, generator=generator, dtype=torch.float64) ** (1 / alpha)
        if 0 < x + y <= 1:
            return (x / (x + y)).float()
