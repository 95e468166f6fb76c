"""grad_norm, snip and zico against other roads to the same numbers, on a small convolutional network in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from proxies.designs import hierarchical, tiny
from torch import Tensor, nn
from torch.func import functional_call

from gas.passes import Passes, Subject
from gas.passes.subject import CLASSES
from gas.proxies import create
from gas.proxies.training_free import look
from gas.proxies.zico import ratio_sum

NAMES = ("grad_norm", "snip", "zico")


def passes_of(images: int = 16, seed: int = 0, dead: bool = False) -> Passes:
    """Passes of a network with a convolution, a norm and two linear layers; `dead`: no gradient reaches the first."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.LayerNorm(6), nn.GELU()]
    network = nn.Sequential(*layers, nn.Linear(6, CLASSES)).double().eval()
    if dead:
        nn.init.constant_(network[0].bias, -1e6)
    generator = torch.Generator().manual_seed(seed)
    return Passes(Subject(network, [], torch.randn(images, 3, 4, 4, generator=generator).double(), 0, 0, seed))


def labels(passes: Passes) -> Tensor:
    return torch.randint(CLASSES, (len(passes.subject.images),), generator=passes.generator(1))


def weights(passes: Passes) -> list[Tensor]:
    return [m.weight for m in passes.subject.network if isinstance(m, nn.Linear | nn.Conv2d)]


def score(name: str, passes: Passes) -> float:
    return create(name).read(passes)[name]


@pytest.mark.parametrize("images", [16, 10, 4])  # 10 make chunks of 3, 3, 3 and 1
def test_grad_norm_is_that_of_one_backward_pass_over_all_images(images: int) -> None:
    passes = passes_of(images)
    loss = F.cross_entropy(passes.subject.network(passes.subject.images), labels(passes))
    found = torch.autograd.grad(loss, weights(passes))
    expected = sum(math.sqrt(sum(g * g for g in gradient.flatten().tolist())) for gradient in found)
    assert score("grad_norm", passes) == pytest.approx(math.log(expected), rel=1e-12)


@pytest.mark.parametrize("images", [16, 10])
def test_snip_is_the_sensitivity_to_a_factor_on_every_weight(images: int) -> None:
    passes = passes_of(images, seed=1)
    network = passes.subject.network
    held = {name: value.detach() for name, value in network.named_parameters()}
    kept = {f"{n}.weight": m.weight for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    factors = {name: torch.ones_like(held[name], requires_grad=True) for name in kept}
    masked = {**held, **{name: held[name] * factor for name, factor in factors.items()}}
    loss = F.cross_entropy(functional_call(network, masked, (passes.subject.images,)), labels(passes))
    found = torch.autograd.grad(loss, list(factors.values()))
    assert score("snip", passes) == pytest.approx(math.log(sum(g.abs().sum().item() for g in found)), rel=1e-12)


def zico_of(passes: Passes, splits: list[slice]) -> float:
    """As the public code of the paper goes about it: a list of flat gradients per layer, with numpy's statistics."""
    subject, wanted, lists = passes.subject, labels(passes), [[] for _ in weights(passes)]
    for part in splits:
        loss = F.cross_entropy(subject.network(subject.images[part]), wanted[part])
        for held, gradient in zip(lists, torch.autograd.grad(loss, weights(passes)), strict=True):
            held.append(gradient.flatten().numpy())
    total = 0.0
    for held in lists:
        deviation, size = np.std(held, axis=0), np.mean(np.abs(held), axis=0)
        moving = np.nonzero(deviation)[0]
        ratios = np.sum(size[moving] / deviation[moving])
        total += np.log(ratios) if ratios else 0.0
    return float(total)


@pytest.mark.parametrize("dead", [False, True])
def test_zico_is_that_of_the_public_code(dead: bool) -> None:
    passes = passes_of(seed=2, dead=dead)
    expected = zico_of(passes, [slice(at, at + 4) for at in range(0, 16, 4)])
    assert score("zico", passes) == pytest.approx(expected, rel=1e-9)


def test_a_layer_without_gradients_adds_nothing_to_zico() -> None:
    passes = passes_of(seed=2, dead=True)
    assert not passes.gradient["0.weight"].any()
    assert math.isfinite(score("zico", passes))


@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=4, max_size=4), st.integers(-35, 35))
def test_the_ratio_knows_no_scale(values: list[float], power: int) -> None:
    exact = [torch.tensor([[value, 1.0]]) for value in values]
    scaled = [gradient * 10.0**power for gradient in exact]
    expected = ratio_sum(exact)
    if float(np.std(values)) > 1e-3:
        assert expected == pytest.approx(np.mean(np.abs(values)) / np.std(values), rel=1e-4)
        assert ratio_sum(scaled) == pytest.approx(expected, rel=1e-4)


def test_gradients_that_are_the_same_in_all_batches_are_left_out() -> None:
    one, two = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 2.0, 0.0])
    assert ratio_sum([one, two]) == pytest.approx(2.0)  # mean 2, deviation 1
    assert ratio_sum([one, one]) == 0.0


def test_one_image_is_no_ground_for_zico() -> None:
    with pytest.raises(ValueError, match="got 1 batch of images; expected two at least"):
        score("zico", passes_of(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_network_without_gradients_has_no_score(name: str) -> None:
    passes = passes_of(8)
    with torch.no_grad():
        passes.subject.network[6].weight.zero_()
        passes.subject.network[5] = nn.Identity()
        passes.subject.network[4].weight.zero_()
        passes.subject.network[4].bias.zero_()
    with pytest.raises(ValueError, match=r"expected a finite number above 0|no weight's gradient differs"):
        score(name, passes)


@pytest.mark.parametrize("name", NAMES)
def test_deeper_designs_score_higher(name: str) -> None:
    fidelity = create(name, {"fidelity": {"resolution": 32}}).fidelity
    shallow, deep = (
        create(name).read(look(hierarchical(16, (16, 32), (1, n), resolution=32, mask_unit=2, heads=2), fidelity, 0, 0))
        for n in (1, 6)
    )
    assert deep[name] > shallow[name]


def test_the_weights_of_norms_and_biases_have_no_part() -> None:
    fidelity = create("snip", {"fidelity": {"resolution": 32}}).fidelity
    passes = look(tiny(), fidelity, 0, 0)
    assert all(gradient.dim() in (2, 4) for gradient in passes.gradient.values())
    assert set(passes.gradient) == set(passes.weights)
