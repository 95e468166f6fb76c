"""MobileNetV3, EfficientNet, MobileViT and MobileViTv2, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def mobile(name: str) -> nn.Module:
    """A network of timm."""
    import timm

    return timm.create_model(name)


NAMES = {
    "mobilenetv3_large": "mobilenetv3_large_100",
    "efficientnet_b0": "efficientnet_b0",
    **{name: name for name in ("mobilevit_xxs", "mobilevit_xs", "mobilevit_s")},
    **{name: name for name in ("mobilevitv2_050", "mobilevitv2_100", "mobilevitv2_200")},
}
REFERENCES = {name: Reference(partial(mobile, theirs)) for name, theirs in NAMES.items()}
