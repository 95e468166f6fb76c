"""Networks small enough to work out by another road."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gas.passes import Site, Subject


class Pooled(nn.Module):
    """(B, C, H, W) or (B, N, C) -> (B, 16): means over the places, then classes."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.classes = nn.Linear(dim, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(x.mean((2, 3)) if x.dim() == 4 else x.mean(1))


class Tokens(nn.Module):
    """(B, C, H, W) -> (B, N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class Plus(nn.Module):
    """x + branch(x)."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def subject_of(
    blocks: Sequence[nn.Module],
    dim: int,
    *,
    layout: str = "map",
    images: int = 6,
    side: int = 4,
    batch: int = 16,
    seed: int = 0,
    **more: float,
) -> Subject:
    """A subject whose network is the blocks between an entry of 3 channels and a pooled classifier; `dim` goes out."""
    generator = torch.Generator().manual_seed(seed)
    entry = [nn.Identity()] if layout == "map" else [Tokens()]
    network = nn.Sequential(*entry, *blocks, Pooled(dim)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
    shown = torch.randn(images, 3, side, side, generator=generator)
    sites = [Site(block, layout, layout) for block in blocks]
    return Subject(network, sites, shown, macs=1000, params=50, seed=seed, batch=batch, **more)
