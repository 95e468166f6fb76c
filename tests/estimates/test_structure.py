"""What a network is in numbers: against the formulas, hand-made modules and the public code."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import gas
from gas.costs import cost
from gas.costs.activations import activations
from gas.estimates import structure, structure_of
from gas.model import with_classes
from gas.space import bundled
from gas.testing.cases import small_design

SHARES = (("dense", "grouped", "pointwise", "attention"),)
STRIDED = [tuple(f"{what}_{stride}" for stride in (4, 8, 16, 32)) for what in ("macs", "params")]
QUICK = ("efficientvit_m0", "hiera_tiny")
ALL = [name.removeprefix("zoo/") for name in bundled() if name.startswith("zoo/")]
CASES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in ALL]


class Branches(nn.Module):
    """Two convolutions on one way, one on the other; a squeezed gate; attention; a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.long = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1))
        self.short = nn.Conv2d(8, 8, 1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.mlp = nn.Linear(8, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (1, 8, 4, 4)
        x = self.long(x) + self.short(x)
        x = x * self.gate(x.mean((2, 3), keepdim=True))
        x = x.flatten(2).mT  # (1, 16, 8)
        x = (x @ x.mT) @ x
        return self.head(self.mlp(x).mean(1))


def test_a_module_counted_by_hand() -> None:
    with torch.device("meta"):
        found = structure(Branches(), 16)
    stem, depthwise, pointwise, gate = 16 * 8 * 48, 16 * 8 * 9, 2 * 16 * 64, 64
    attention, mlp, head = 2 * 16 * 16 * 8, 16 * 8 * 16, 16 * 10
    macs = stem + depthwise + pointwise + gate + attention + mlp + head
    assert found["macs"] == macs
    assert found["dense"] == pytest.approx(stem / macs)
    assert found["grouped"] == pytest.approx(depthwise / macs)
    assert found["pointwise"] == pytest.approx((pointwise + gate + mlp + head) / macs)
    assert found["attention"] == pytest.approx(attention / macs)
    assert found["activations"] == 4 * 16 * 8 + 8 + 16 * 16 + 16 * 8 + 16 * 16 + 10
    assert found["channels"] == 8 + 8 + 8 + 8 + 16  # neither the gate nor the classifier
    assert found["depth"] == 4  # stem, the longer way's two, the MLP
    assert found["width"] == 16
    assert found["resolution"] == 16
    assert found["macs_4"] == found["params_4"] == 1


def test_strides_are_those_of_what_layers_give_out() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.Conv2d(4, 4, 2, stride=2), nn.Conv2d(4, 8, 2, stride=2))
    found = structure(net, 64)
    macs = (64 * 4 * 192, 16 * 4 * 16, 4 * 8 * 16)
    weights = (4 * 192, 4 * 16, 8 * 16)
    assert [found[f"macs_{s}"] for s in (8, 16, 32)] == pytest.approx([m / sum(macs) for m in macs])
    assert [found[f"params_{s}"] for s in (8, 16, 32)] == pytest.approx([w / sum(weights) for w in weights])


@pytest.mark.parametrize("name", CASES)
def test_counts_are_those_of_the_formulas(name: str) -> None:
    design = gas.load(name)
    found = structure_of(design)
    assert found["params"] == cost(design).params
    assert found["macs"] == cost(design).macs
    assert found["activations"] == activations(design)
    for names in (*SHARES, *STRIDED):
        assert sum(found[part] for part in names) == pytest.approx(1)


def test_the_head_is_counted_for_imagenet() -> None:
    design = small_design()
    assert structure_of(design) == structure_of(with_classes(design, 5))
    assert structure_of(design, classes=10)["params"] == cost(design).params


PUBLIC = {
    "efficientvit_m0": "efficientvit_m0",
    "hiera_tiny": "hiera_tiny_224",
    "mobilevit_xxs": "mobilevit_xxs",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "fastvit_t8": "fastvit_t8",
    "swiftformer_xs": "swiftformer_xs",
    "efficientformerv2_s0": "efficientformerv2_s0",
    "deit_small": "deit_small_patch16_224",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC)
def test_public_code_counts_the_same(timm: ModuleType, name: str) -> None:
    design = gas.load(name)
    with torch.device("meta"):
        theirs = timm.create_model(PUBLIC[name], pretrained=False, num_classes=1000)
    assert structure(theirs, design.resolution) == pytest.approx(structure_of(design), rel=1e-12)
