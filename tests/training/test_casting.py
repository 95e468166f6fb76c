"""Half precision: matrices in it, convolutions on a CPU not, and the gradient that made it so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gas.training.casting import autocast


def test_matrices_are_halved_and_convolutions_are_not() -> None:
    images = torch.randn(2, 4, 3, 3)
    with autocast("cpu"):
        tokens = nn.Linear(4, 4)(images.flatten(2).transpose(1, 2))
        assert tokens.dtype == torch.bfloat16
        maps = tokens.transpose(1, 2).unflatten(2, (3, 3))
        for layer in (nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3)):
            assert layer(maps).dtype == torch.float32
        assert nn.Conv1d(4, 4, 1)(maps.flatten(2)).dtype == torch.float32
        assert torch.nn.functional.conv2d(maps, weight=torch.ones(1, 4, 1, 1)).dtype == torch.float32
        assert (tokens @ tokens.transpose(1, 2)).dtype == torch.bfloat16
    assert nn.Linear(4, 4)(torch.ones(1, 4)).dtype == torch.float32


@pytest.mark.parametrize("side", [1, 2, 5])
def test_gradients_of_convolutions_are_exact(side: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images, kernel = (torch.randn(s, generator=generator) for s in ((8, 20, side, side), (20, 20, 3, 3)))
    gradients = []
    for casting in (True, False):
        weight = kernel.clone().requires_grad_()
        if casting:
            with autocast("cpu"):
                out = torch.conv2d(images, weight, stride=2, padding=1)
        else:
            out = torch.conv2d(images, weight, stride=2, padding=1)
        out.square().sum().backward()
        gradients.append(weight.grad)
    assert torch.equal(*gradients)
