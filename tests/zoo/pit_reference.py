"""PiT without its distillation token, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def pit(variant: str) -> nn.Module:
    """A PiT of timm, for 224 pixels."""
    import timm

    # torch's counter of operations follows gradients, and stumbles over a class token that wants one.
    return timm.create_model(f"pit_{variant}_224").requires_grad_(False)


REFERENCES = {f"pit_{variant}": Reference(partial(pit, variant)) for variant in ("ti", "xs", "s")}
