"""EfficientViT of Microsoft, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def efficientvit(variant: str) -> nn.Module:
    """An EfficientViT of timm."""
    import timm

    return timm.create_model(f"efficientvit_{variant}")


REFERENCES = {f"efficientvit_m{i}": Reference(partial(efficientvit, f"m{i}")) for i in range(6)}
