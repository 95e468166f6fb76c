"""Small banks, networks and data for the tests of banks."""

from __future__ import annotations

import torch

from gas.architecture import Architecture
from gas.banks import Bank
from gas.data import ImageData, load
from gas.errors import DesignError
from gas.model import Network, build
from gas.proxies.reduce import reduce
from gas.space import load as load_design

SIDES = (32, 64, 96, 128, 160, 192, 224)


def images(seed: int = 0) -> ImageData:
    """96 digits at 32 pixels."""
    return load("digits", resolution=32, images=96, validation=64, seed=seed)


def smallest(name: str) -> Architecture:
    """A design of the zoo at a quarter of its width, for the smallest images that it takes."""
    design = load_design(name)
    for side in SIDES:
        try:
            return reduce(design, resolution=side, width=0.25)
        except DesignError:
            continue
    raise AssertionError(f"{name} stands at none of {SIDES}")


def grown(*designs: Architecture, classes: int = 10, segments: bool = True) -> Bank:
    """A bank of fresh weights that holds what designs need."""
    bank, generator = Bank(segments=segments), torch.Generator().manual_seed(0)
    for number, design in enumerate(designs):
        network = build(design, classes=classes, seed=number)
        bank.grow(network, bank.slots(network, design), generator)
    return bank


def enlarged(bank: Bank, by: int = 2) -> Bank:
    """The same bank with `by` more of every dimension, filled with 9s that no slice may touch."""
    larger = {}
    for key, tensor in bank.tensors.items():
        wide = torch.full([size + by for size in tensor.shape], 9.0)
        wide[tuple(slice(size) for size in tensor.shape)] = tensor
        larger[key] = wide
    return Bank(larger, bank.decaying, segments=bank.segments)


def network_of(design: Architecture, classes: int = 10, seed: int = 0) -> Network:
    """The design in training mode."""
    return build(design, classes=classes, seed=seed).train()
