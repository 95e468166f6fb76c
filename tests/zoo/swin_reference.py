"""Swin, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def swin(variant: str) -> nn.Module:
    """A Swin of timm, for 224 pixels."""
    import timm

    return timm.create_model(f"swin_{variant}_patch4_window7_224")


REFERENCES = {"swin_tiny": Reference(partial(swin, "tiny"))}
