from __future__ import annotations

import pytest
import torch
from torch import nn
from zoo.pairing import randomise

from gas.architecture import Spec
from gas.model import fuse
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.patterns.folding import norm_into, scale_into
from gas.patterns.layouts import ToMap, ToTokens
from gas.patterns.units import LayerScale


def trained(module: nn.Module) -> nn.Module:
    """Any weights and statistics, in double precision."""
    randomise(module, seed=0)
    return module.eval().double()


X = torch.randn(2, 6, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

LAYERS = {
    "conv": lambda: nn.Conv2d(6, 8, 1),
    "conv without bias": lambda: nn.Conv2d(6, 8, 3, bias=False),
    "linear between conversions": lambda: nn.Sequential(ToTokens(), nn.Linear(6, 8, bias=False), ToMap((4, 4))),
    "several layers": lambda: nn.Sequential(nn.Conv2d(6, 5, 1), nn.GELU(), nn.Conv2d(5, 8, 1, bias=False)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_norm_before_and_a_scale_behind_go_into_the_layers(name: str) -> None:
    norm, module, scale = trained(nn.BatchNorm2d(6)), trained(LAYERS[name]()), trained(LayerScale(8, 1.0, spatial=True))
    wanted = scale(module(norm(X)))
    left = norm_into(norm, module), scale_into(scale, module)
    assert all(isinstance(module, nn.Identity) for module in left)
    assert torch.allclose(module(X), wanted, atol=1e-12)


@pytest.mark.parametrize("module", [nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1, groups=2), nn.GELU()])
def test_a_norm_stays_where_taking_it_in_would_not_be_exact(module: nn.Module) -> None:
    norm = trained(nn.BatchNorm2d(6))
    before = [p.clone() for p in module.parameters()]
    assert norm_into(norm, module) is norm
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))


def test_only_batch_norms_go_in() -> None:
    norm, module = nn.GroupNorm(1, 6), nn.Conv2d(6, 6, 1)
    assert norm_into(norm, module) is norm


@pytest.mark.parametrize(
    ("mixer", "norms"),
    [
        (Spec.of("global_attention", heads=2, qkv_bias=False), 0),
        (Spec.of("additive_attention"), 1),  # two layers read its input, so the norm before it stays
    ],
)
def test_a_block_folds_without_norms_and_scales(mixer: Spec, norms: int) -> None:
    spec = Spec.of("transformer", mixer=mixer, mlp=Spec.of("conv_mlp"), norm="batch", layer_scale=0.1)
    pattern, read = nested(spec)
    block = trained(pattern.part(read, Flow(6, (4, 4), target=6)).build())
    folded = fuse(block)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == norms
    assert not [m for m in folded.modules() if isinstance(m, LayerScale)]
    assert torch.allclose(folded(X), block(X), atol=1e-12)


def test_what_the_shortcut_reads_is_normed_still() -> None:
    spec = Spec.of("transformer", mixer=Spec.of("global_attention", heads=2), mlp=None, norm="batch", shortcut="norm")
    pattern, read = nested(spec)
    block = trained(pattern.part(read, Flow(6, (4, 4), target=6)).build())
    assert torch.allclose(fuse(block)(X), block(X), atol=1e-12)


@pytest.mark.parametrize("hidden", [None, 2.0])
def test_a_classifier_with_two_layers_folds_into_one(hidden: float | None) -> None:
    more = {} if hidden is None else {"hidden": hidden}
    pattern, read = nested(Spec.of("classifier", classes=3, norm="batch", both=True, **more))
    head = trained(pattern.part(read, Flow(6, (4, 4), "tokens")).build())
    tokens = X.flatten(2).transpose(1, 2)
    folded = fuse(head)
    assert len([m for m in folded.modules() if list(m.parameters(recurse=False))]) == (1 if hidden is None else 2)
    assert torch.allclose(folded(tokens), head(tokens), atol=1e-12)
