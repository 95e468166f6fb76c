"""FastViT, as in timm."""

from __future__ import annotations

from functools import partial

from torch import nn
from zoo.pairing import Reference


def fastvit(variant: str) -> nn.Module:
    """A FastViT of timm, with the branches that it is trained with."""
    import timm

    return timm.create_model(f"fastvit_{variant}")


def reparameterised(model: nn.Module) -> nn.Module:
    """The same with its branches folded."""
    from timm.utils.model import reparameterize_model

    return reparameterize_model(model)


REFERENCES = {f"fastvit_{v}": Reference(partial(fastvit, v), fold=reparameterised) for v in ("t8", "sa12", "sa24")}
