"""DeiT without its distillation token, as in timm; and SuperViT where it keeps all tokens, which is the same net."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def deit(variant: str) -> nn.Module:
    """A DeiT of timm, for 224 pixels."""
    import timm

    return timm.create_model(f"deit_{variant}_patch16_224")


REFERENCES = {name: Reference(partial(deit, "small")) for name in ("deit_small", "supervit_deit_small_k10")}
