from __future__ import annotations

import pytest
import torch
from hiera_parity import randomise, tiny, turbovit
from map_reference import forward_on_maps
from random_designs import random_designs
from torch import nn

from gas.errors import DesignError
from gas.model import build, set_drop_path, with_classes
from gas.plan import plan


def image(resolution: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, resolution, resolution, generator=torch.Generator().manual_seed(3))


def test_random_designs_equal_the_reference_on_maps() -> None:
    pooled_then_local = 0
    for number, design in enumerate(random_designs(40, seed=11)):
        network = build(design, seed=number).eval().double()
        randomise(network, seed=number)
        x = image(design.resolution).double()
        with torch.inference_mode():
            maps, scores = forward_on_maps(design, network, x)
            features = network.forward_features(x)
            assert torch.allclose(network(x), scores, atol=1e-9), design.to_json()
        assert len(features) == len(maps)
        for got, expected in zip(features, maps, strict=True):
            assert torch.allclose(got, expected, atol=1e-9), design.to_json()
        parts = plan(design).blocks
        pooled_then_local += any(p.before.scale > 1 and p.settled.mixer.pattern.startswith("mask") for p in parts)
    assert pooled_then_local >= 5, "the sample must hold the hard case"


def test_feature_maps_are_what_feature_info_says() -> None:
    network = build(turbovit(), seed=0).eval()
    with torch.inference_mode():
        maps = network.forward_features(image(224, batch=1))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert [(info["num_chs"], info["reduction"]) for info in network.feature_info] == [
        (64, 4),
        (128, 8),
        (256, 16),
        (512, 32),
    ]
    assert all(network.get_submodule(info["module"]) is not None for info in network.feature_info)


def test_gradients_reach_every_parameter_and_a_step_lowers_the_loss() -> None:
    network = build(tiny(), seed=0)
    x, labels = image(32, batch=8), torch.arange(8)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(network(x), labels)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            if not name.endswith("qkv.bias"):  # a key's bias moves all scores alike, so softmax does not see it
                assert parameter.grad.abs().max() > 0, name
        optimiser.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("size", [(16, 16), (32, 64), (64, 32)])
def test_an_image_of_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 32 x 32"):
        build(tiny(), seed=0)(torch.zeros(1, 3, *size))


def test_a_seed_decides_the_weights_and_leaves_the_global_state_alone() -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    first = build(tiny(), seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    second, other = build(tiny(), seed=4), build(tiny(), seed=5)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.stem.conv.weight, other.stem.conv.weight)


def test_without_a_seed_the_global_state_is_used() -> None:
    torch.manual_seed(1)
    first, second = build(tiny()), build(tiny())
    torch.manual_seed(1)
    again = build(tiny())
    assert torch.equal(first.stem.conv.weight, again.stem.conv.weight)
    assert not torch.equal(first.stem.conv.weight, second.stem.conv.weight)


def test_initial_weights() -> None:
    for module in build(tiny(), seed=0).modules():
        if isinstance(module, nn.Linear):
            assert module.bias.abs().max() == 0
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.3)


def test_classes_override_the_head_and_nothing_else() -> None:
    network = build(tiny(), classes=7, seed=0).eval()
    assert network(image(32)).shape == (2, 7)
    changed = with_classes(tiny(), 7)
    assert changed.stages == tiny().stages
    assert changed.head.options == {**tiny().head.options, "classes": 7}
    assert network.state_dict().keys() == build(tiny(), seed=0).state_dict().keys()


def test_drop_path_rises_with_depth() -> None:
    network = build(tiny(), seed=0)
    set_drop_path(network, 0.3)
    rates = [m.drop_path.rate for m in network.modules() if hasattr(m, "drop_path")]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
    x = image(32)
    assert torch.equal(network.eval()(x), build(tiny(), seed=0).eval()(x))
    assert not torch.equal(network.train()(x), network(x))


def test_an_impossible_design_is_not_built() -> None:
    with pytest.raises(DesignError, match=r"stages\[0\].*mask_unit: got 4, which does not divide"):
        build(tiny(resolution=40))


def test_state_travels_between_builds_of_one_design() -> None:
    first, second = build(tiny(), seed=0).eval(), build(tiny(), seed=1).eval()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(image(32)), second(image(32)))
