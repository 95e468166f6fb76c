"""EdgeNeXt, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.convnext_reference import pair_with_scales
from zoo.pairing import Reference


def edgenext(variant: str) -> nn.Module:
    """An EdgeNeXt of timm."""
    import timm

    return timm.create_model(f"edgenext_{variant}")


REFERENCES = {"edgenext_small": Reference(partial(edgenext, "small"), copy=pair_with_scales)}
