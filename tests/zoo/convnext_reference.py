"""ConvNeXt, as in timm."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from zoo.pairing import Reference, own_parameters, run_order


def convnext(variant: str) -> nn.Module:
    """A ConvNeXt of timm."""
    import timm

    return timm.create_model(f"convnext_{variant}")


def pair_with_scales(theirs: nn.Module, ours: nn.Module, images: Tensor) -> None:
    """As `pair_weights`, where blocks of theirs hold the layer scales (`gamma...`) that are modules of ours.

    Scales are paired with scales and the other weights with the others, each in the order in which they run.
    """

    def tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        held = [pair for _, module in run_order(model, images) for pair in own_parameters(module).items()]
        scales = [tensor for name, tensor in held if name.startswith("gamma")]
        return scales, [tensor for name, tensor in held if not name.startswith("gamma")]

    for sources, targets in zip(tensors(theirs), tensors(ours), strict=True):
        assert [t.numel() for t in sources] == [t.numel() for t in targets]
        with torch.no_grad():
            for source, target in zip(sources, targets, strict=True):
                target.copy_(source.reshape(target.shape))


REFERENCES = {"convnext_tiny": Reference(partial(convnext, "tiny"), copy=pair_with_scales)}
