"""Hiera, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def hiera(variant: str) -> nn.Module:
    """A Hiera of timm."""
    import timm

    return timm.create_model(f"hiera_{variant}_224")


REFERENCES = {f"hiera_{v}": Reference(partial(hiera, v)) for v in ("tiny", "small", "base")}
