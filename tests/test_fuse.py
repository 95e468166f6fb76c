"""Folding for inference: what a module becomes, and that the module itself stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from export_designs import folding, tiny, trained
from torch import Tensor, nn

import gas
from gas.costs import cost, folded_count
from gas.model import build, fuse
from gas.patterns.units import ConvNorm, LayerScale, Residual


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def norms(module: nn.Module) -> list[str]:
    return [name for name, m in module.named_modules() if "Norm" in type(m).__name__]


@pytest.fixture
def network() -> nn.Module:
    return trained(build(folding(), seed=0))


def test_the_outputs_stay_the_same_whatever_was_learned(network: nn.Module) -> None:
    network = network.double()
    folded = fuse(network)
    with torch.inference_mode():
        assert torch.allclose(folded(image().double()), network(image().double()), rtol=0, atol=1e-11)
        pairs = zip(folded.forward_features(image().double()), network.forward_features(image().double()), strict=True)
        assert all(torch.allclose(got, wanted, rtol=0, atol=1e-11) for got, wanted in pairs)


def test_every_batch_norm_goes_where_all_can(network: nn.Module) -> None:
    assert len(norms(network)) > 10
    assert norms(fuse(network)) == []


def test_a_norm_over_channels_stays() -> None:
    kept = norms(fuse(build(folding(norm="layer"), seed=0)))
    assert {name.rpartition(".")[2] for name in kept} == {"norm1", "norm2"}


def test_the_original_is_left_as_it_was(network: nn.Module) -> None:
    network.train()
    before, names = copy.deepcopy(network.state_dict()), [name for name, _ in network.named_modules()]
    folded = fuse(network)
    assert network.training
    assert all(module.training for module in network.modules())
    assert [name for name, _ in network.named_modules()] == names
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not folded.training
    assert not any(module.training for module in folded.modules())


def test_nothing_is_shared_with_the_original(network: nn.Module) -> None:
    folded = fuse(network)
    with torch.inference_mode():
        before = network(image())
        for tensor in folded.state_dict().values():
            tensor.fill_(7)
        assert torch.equal(network(image()), before)


def test_a_model_in_training_folds_as_in_evaluation(network: nn.Module) -> None:
    with torch.inference_mode():
        assert torch.equal(fuse(network.train())(image()), fuse(network.eval())(image()))


def test_the_statistics_are_those_gathered_in_training(network: nn.Module) -> None:
    early = fuse(network)
    with torch.no_grad():
        for _ in range(3):
            network.train()(image(batch=8))
    network.eval()
    with torch.inference_mode():
        scores = network(image())
        assert torch.allclose(fuse(network)(image()), scores, atol=1e-4)
        assert not torch.allclose(early(image()), scores, atol=1e-3)


def test_a_shortcut_goes_into_a_depthwise_convolution() -> None:
    block = trained(Residual(ConvNorm(6, 6, kernel=3, groups=6), LayerScale(6, 0.3, spatial=True)))
    folded = fuse(block)
    assert isinstance(folded, nn.Conv2d)
    assert (folded.groups, folded.kernel_size, folded.stride, folded.padding) == (6, (3, 3), (1, 1), (1, 1))
    x = torch.randn(2, 6, 5, 7)
    # By the definition: x + gamma (scale (conv(x) - mean) + shift)
    conv, norm, gamma = block.branch.conv, block.branch.norm, block.scale.gamma[:, None, None]
    with torch.inference_mode():
        mean, spread = (v[:, None, None] for v in (norm.running_mean, (norm.running_var + norm.eps).sqrt()))
        normed = (conv(x) - mean) / spread * norm.weight[:, None, None] + norm.bias[:, None, None]
        assert torch.allclose(folded(x), x + gamma * normed, atol=1e-5)


@pytest.mark.parametrize(
    "branch",
    [
        ConvNorm(6, 6, kernel=3),  # full: the shortcut would fit, but would have to fill a whole kernel
        ConvNorm(6, 6, kernel=3, groups=6, act="relu"),
        ConvNorm(6, 6, kernel=3, groups=3),
    ],
)
def test_other_shortcuts_stay(branch: nn.Module) -> None:
    block = trained(Residual(branch))
    folded = fuse(block)
    assert isinstance(folded, Residual)
    assert norms(folded) == []
    x = torch.randn(2, 6, 5, 5)
    with torch.inference_mode():
        assert torch.allclose(folded(x), block(x), atol=1e-5)


def test_an_activation_stays_behind_its_convolution() -> None:
    unit = trained(ConvNorm(3, 4, kernel=3, stride=2, act="relu"))
    assert [type(m) for m in fuse(unit)] == [nn.Conv2d, nn.ReLU]
    x = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(fuse(unit)(x), unit(x), atol=1e-5)


def test_a_design_without_anything_to_fold_is_only_copied() -> None:
    network = build(tiny(), seed=0)
    folded = fuse(network)
    assert [(n, type(m)) for n, m in folded.named_modules()] == [(n, type(m)) for n, m in network.named_modules()]
    with torch.inference_mode():
        assert torch.equal(folded(image()), network.eval()(image()))
    assert folded_count(tiny()) is None


def test_folding_twice_changes_nothing_more(network: nn.Module) -> None:
    once = fuse(network)
    twice = fuse(once)
    assert [(n, type(m)) for n, m in twice.named_modules()] == [(n, type(m)) for n, m in once.named_modules()]
    with torch.inference_mode():
        assert torch.equal(twice(image()), once(image()))


def test_the_count_of_the_folded_form() -> None:
    folded, whole = folded_count(folding()).cost, cost(folding())
    assert folded.macs == whole.macs  # norms and scales have none
    network = fuse(build(folding(), seed=0))
    assert folded.params == sum(p.numel() for p in network.parameters()) < whole.params


def test_it_is_public() -> None:
    assert gas.fuse is fuse
