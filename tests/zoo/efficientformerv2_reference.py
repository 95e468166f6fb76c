"""EfficientFormerV2, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def efficientformerv2(variant: str) -> nn.Module:
    """An EfficientFormerV2 of timm."""
    import timm

    return timm.create_model(f"efficientformerv2_{variant}")


REFERENCES = {f"efficientformerv2_{v}": Reference(partial(efficientformerv2, v)) for v in ("s0", "s1", "s2")}
