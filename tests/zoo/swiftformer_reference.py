"""SwiftFormer, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def swiftformer(variant: str) -> nn.Module:
    """A SwiftFormer of timm."""
    import timm

    return timm.create_model(f"swiftformer_{variant}")


REFERENCES = {f"swiftformer_{v}": Reference(partial(swiftformer, v)) for v in ("xs", "s", "l1")}
