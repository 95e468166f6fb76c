"""What is probed: a network and the images that it is shown.

Shapes: B images, D discs, R the side of an image in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.model import Network, build
from gas.patterns.units import LayerScale
from gas.plan import smallest_side

CLASSES = 16
LEAST_SIDE = 32  # pixels; smaller designs are probed at their own size
LEAST_TOKENS = 4  # at the end of each stage, where the design has as many
IMAGES_AT_64 = 16  # of 64 x 64 pixels; at other sizes as many as make about as many tokens in all
DISCS = 96  # per image
STEEPNESS = 3.0  # of the discs' sizes: as many of radius r as r to the power of minus this


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to probe.

    Args:
        network: As `build` made it; fresh, or trained and in evaluation mode.
        architecture: What was built: the design, or the design made smaller with the same blocks.
        images: What it is shown, (B, channels, R, R); of more than are needed, the first.
    """

    network: Network
    architecture: Architecture
    images: Tensor


def fresh(architecture: Architecture, *, seed: int = 0) -> Subject:
    """The design built for small images, its weights drawn so that no branch is muted by how it begins.

    Every linear layer and convolution starts from N(0, 1 / inputs): the customary beginnings (0.02 in ViTs, a third of
    this variance in convolutions) make a branch loud or quiet by habit, not by design. Layer scales, which often begin
    near 0, are 1. Batch norms take their statistics from the batch.

    Args:
        architecture: The design at its own size.
        seed: Of weights and images.
    """
    small = replace(architecture, resolution=side(architecture))
    network = build(small, classes=CLASSES, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.normal_(0.0, module.weight[0].numel() ** -0.5, generator=generator)
            elif isinstance(module, LayerScale):
                module.gamma.fill_(1.0)
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
    return Subject(network, small, stimuli(image_count(small.resolution), small.channels, small.resolution, seed))


def side(architecture: Architecture) -> int:
    """The side of the images that a design is probed with, pixels.

    The least multiple of 8, from a quarter of the design's own and from 32, at which the design exists and keeps
    4 tokens to the end; its own where there is none.
    """
    lowest = max(LEAST_SIDE, math.ceil(architecture.resolution / 32) * 8)
    return smallest_side(architecture, lowest, LEAST_TOKENS)


def image_count(resolution: int) -> int:
    """How many images of a size are shown: at least 2."""
    return max(2, round(IMAGES_AT_64 * (64 / resolution) ** 2))


@lru_cache(maxsize=8)
def stimuli(count: int, channels: int, resolution: int, seed: int) -> Tensor:
    """Pictures of discs that lie upon one another, (count, channels, R, R); mean 0, deviation 1 in each channel.

    Their sizes follow a power law, their colours are uniform: edges, occlusion and detail at all scales, as in
    photographs, where white noise has none.

    Source: the dead leaves model as a stimulus that networks can learn from: Baradad et al., arXiv 2106.05963.
    """
    generator = torch.Generator().manual_seed(seed)
    low, high = 1.0 / resolution, 0.5  # of the side
    chance = torch.rand(count, DISCS, generator=generator)
    power = 1.0 - STEEPNESS
    radius = (low**power + chance * (high**power - low**power)) ** (1.0 / power)  # (B, D)
    # The ground is a disc as well: behind all others, and as large as the image.
    radius[:, -1] = 2.0
    centre = torch.rand(count, DISCS, 2, generator=generator)
    colour = torch.rand(count, DISCS, channels, generator=generator)
    places = (torch.arange(resolution) + 0.5) / resolution
    offsets = (places - centre[..., None]).square()  # (B, D, 2, R)
    covers = offsets[:, :, 0, :, None] + offsets[:, :, 1, None, :] <= radius[..., None, None].square()  # (B, D, R, R)
    front = covers.to(torch.uint8).argmax(dim=1).flatten(1)  # (B, R * R): the first that covers a place
    images = colour.gather(1, front[..., None].expand(-1, -1, channels)).transpose(1, 2)  # (B, channels, R * R)
    images = images.unflatten(2, (resolution, resolution))
    deviation = images.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    return (images - images.mean(dim=(0, 2, 3), keepdim=True)) / deviation
