"""SHViT, as in timm, whose own folding ours is compared with too."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def shvit(variant: str) -> nn.Module:
    """An SHViT of timm."""
    import timm

    return timm.create_model(f"shvit_{variant}")


def folded(theirs: nn.Module) -> nn.Module:
    """With timm's own folding."""
    theirs.fuse()
    return theirs


REFERENCES = {f"shvit_s{i}": Reference(partial(shvit, f"s{i}"), fold=folded) for i in range(1, 5)}
