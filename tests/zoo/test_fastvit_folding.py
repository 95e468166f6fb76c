"""FastViT is published with its branches folded: ours folds to what the public code folds to, and further."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import nn
from zoo.fastvit_reference import fastvit, reparameterised

from gas.costs import count_module
from gas.model import build, fuse
from gas.patterns.units import LayerScale
from gas.space import load

# Blocks with a feed-forward layer, as (width, number), and those with attention among them.
BLOCKS = {
    "t8": [(48, 2), (96, 2), (192, 4), (384, 2)],
    "sa12": [(64, 2), (128, 2), (256, 6), (512, 2)],
}
ATTENTION = {"t8": (0, 0), "sa12": (512, 2)}


@pytest.mark.parametrize("variant", BLOCKS)
def test_folded_it_counts_what_the_public_code_does(timm: ModuleType, variant: str) -> None:
    ours = fuse(build(load(f"zoo/fastvit_{variant}")))
    theirs = reparameterised(fastvit(variant))
    # Theirs keeps the norm of each feed-forward layer (2 per channel), where ours has a bias (1), and its layer scale.
    kept = sum(2 * width * depth for width, depth in BLOCKS[variant])
    # With attention it also keeps its layer scale and the norm before (3 per channel), where ours has a bias of
    # queries, keys and values (3): no difference.
    width, depth = ATTENTION[variant]
    kept += (3 - 3) * width * depth
    counted = count_module(ours.to("meta"), (1, 3, 256, 256)).cost
    wanted = count_module(theirs.to("meta"), (1, 3, 256, 256)).cost
    assert counted.macs == wanted.macs
    assert counted.params == wanted.params - kept


@pytest.mark.parametrize("name", ["fastvit_t8", "fastvit_sa12", "swiftformer_xs"])
def test_no_norm_and_no_layer_scale_is_left(name: str) -> None:
    with torch.device("meta"):
        folded = fuse(build(load(f"zoo/{name}")))
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d | LayerScale)]
