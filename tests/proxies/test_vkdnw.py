"""VKDNW: the Fisher matrix by finite differences, spectra by hand, and which layers are watched."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from passes.networks import Plus, subject_of
from torch import nn

from gas.passes import Passes
from gas.proxies import create
from gas.proxies.vkdnw import LAYERS, factor, spread, tap


def watched_weights(network: nn.Module) -> list[tuple[nn.Parameter, tuple[int, ...]]]:
    """The weight between the first channels at the middle of the kernel, of every layer."""
    found = []
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            found.append((module.weight, (0, 0, *(side // 2 for side in module.weight.shape[2:]))))
    return found


def slopes(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    """(B, K, L) derivatives of the class scores by central differences."""
    columns = []
    with torch.no_grad():
        for weight, place in watched_weights(network):
            value, scores = weight[place].clone(), []
            for sign in (1, -1):
                weight[place] = value + sign * 1e-5
                scores.append(network(images))
            weight[place] = value
            columns.append((scores[0] - scores[1]) / 2e-5)
    return torch.stack(columns, dim=-1).numpy()


def nothing(_: str) -> None:
    """No deadline."""


def test_the_fisher_matrix_is_that_of_the_class_probabilities() -> None:
    subject = subject_of([nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), Plus(nn.Conv2d(4, 4, 3, padding=1, groups=2))], 4)
    network, images = subject.network.double(), subject.images[:3].double()
    drawn = factor(network, images, 4000, torch.Generator().manual_seed(0), nothing).numpy()
    jacobian = slopes(network, images)
    chances = network(images).softmax(1).detach().numpy()
    covariance = [np.diag(p) - np.outer(p, p) for p in chances]
    fisher = np.mean([j.T @ c @ j for j, c in zip(jacobian, covariance, strict=True)], axis=0)
    assert fisher.shape == (3, 3)
    assert np.allclose(drawn.T @ drawn, fisher, atol=0.04 * np.abs(fisher).max())
    # The same for the logarithm of a class drawn at random, which is what a Fisher matrix is.
    gradients = np.eye(16)[None] - chances[:, None]  # (B, classes, K)
    scores = np.einsum("bck,bkl->bcl", gradients, jacobian)
    outer = np.einsum("bc,bcl,bcm->lm", chances, scores, scores) / len(chances)
    assert np.allclose(fisher, outer)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Conv2d(3, 4, 4, stride=2),
        nn.Conv2d(3, 6, 3, padding=2, dilation=2, groups=3),
        nn.Conv2d(3, 4, (1, 5), padding=(0, 2)),
        nn.Conv2d(3, 4, 3, padding="same"),
    ],
)
def test_the_derivative_of_a_convolution_by_a_weight(layer: nn.Conv2d) -> None:
    layer, x = layer.double(), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    ((weight, place),) = watched_weights(layer)
    with torch.no_grad():
        before = layer(x)
        weight[place] += 1.0
        change = layer(x) - before
    assert torch.allclose(change[:, 0], tap(layer, x), atol=1e-12)
    assert not change[:, 1:].any()


def test_each_image_has_its_own_derivatives() -> None:
    subject = subject_of([nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4)], 4, layout="tokens")
    network, images = subject.network.double(), subject.images.double()
    generator = torch.Generator().manual_seed(0)
    drawn = factor(network, images, 1, generator, nothing).numpy() * len(images) ** 0.5
    signs = (torch.randint(0, 2, (6, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1).double().numpy()
    chances = network(images).softmax(1).detach().numpy()
    for row, jacobian, p, sign in zip(drawn, slopes(network, images), chances, signs, strict=True):
        root = np.diag(np.sqrt(p)) - np.outer(p, np.sqrt(p))
        assert np.allclose(root @ root.T, np.diag(p) - np.outer(p, p))
        assert np.allclose(row, (root @ sign) @ jacobian, rtol=1e-5, atol=1e-9)


def test_spectra_by_hand() -> None:
    assert spread(torch.eye(20, dtype=torch.float64)) == pytest.approx(math.log(9))
    values = torch.linspace(0, 10, 11, dtype=torch.float64)  # whose deciles are 1 to 9
    shares = np.arange(1, 10) / 45
    expected = -(shares * np.log(shares)).sum()
    assert spread(values.sqrt().diag()) == pytest.approx(expected)
    turn, _ = torch.linalg.qr(torch.randn(11, 11, dtype=torch.float64))
    assert spread(turn @ (7 * values.sqrt()).diag() @ turn.T) == pytest.approx(expected)
    # Three rows for five layers: two eigenvalues are 0, the others 1.
    deciles = np.quantile([0, 0, 1, 1, 1], np.arange(1, 10) / 10)
    shares = deciles[deciles > 0] / deciles.sum()
    assert spread(torch.eye(5, dtype=torch.float64)[:3]) == pytest.approx(-(shares * np.log(shares)).sum())
    for nought in (torch.zeros(4, 4, dtype=torch.float64), torch.full((4, 4), math.nan, dtype=torch.float64)):
        with pytest.raises((ValueError, RuntimeError)):
            spread(nought)


class Table(nn.Module):
    """x plus a table that a layer makes of places, not of images; and a layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.twice = nn.Linear(2, 3), nn.Linear(3, 3)
        self.register_buffer("where", torch.ones(16, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.twice(torch.tanh(self.twice(x + self.places(self.where))))


def test_layers_that_see_no_image_are_left_out_and_one_that_runs_twice_is_one() -> None:
    subject = subject_of([Table()], 3, layout="tokens")
    network, images = subject.network.double(), subject.images.double()
    network[1].where.double()
    drawn = factor(network, images, 2000, torch.Generator().manual_seed(0), nothing).numpy()
    assert drawn.shape == (2000 * 6, 2)  # the layer that runs twice, and the classes
    with torch.no_grad():
        jacobian = slopes(network, images)[:, :, 1:]  # without the table's
    chances = network(images).softmax(1).detach().numpy()
    fisher = np.mean([j.T @ (np.diag(p) - np.outer(p, p)) @ j for j, p in zip(jacobian, chances, strict=True)], axis=0)
    assert np.allclose(drawn.T @ drawn, fisher, atol=0.04 * np.abs(fisher).max())


def test_the_first_layers_are_watched_and_all_are_counted() -> None:
    blocks = [Plus(nn.Linear(3, 3)) for _ in range(LAYERS + 5)]
    subject = subject_of(blocks, 3, layout="tokens")
    with torch.no_grad():  # or classes would be certain behind so many
        for block in blocks:
            block.branch[0].weight.mul_(0.01)
            block.branch[0].bias.zero_()
    drawn = factor(subject.network, subject.images, 1, torch.Generator().manual_seed(0), nothing)
    assert drawn.shape == (6, LAYERS)
    found = create("vkdnw").read(Passes(subject))
    assert found["vkdnw_layers"] == LAYERS + 6
    assert found["vkdnw_sum"] == found["vkdnw"] + LAYERS + 6
    assert 0 <= found["vkdnw"] <= math.log(9)


def test_the_network_is_left_as_it_was() -> None:
    subject = subject_of([nn.Conv2d(3, 4, 1)], 4)
    subject.network[-1].classes.bias.requires_grad_(False)
    create("vkdnw").read(Passes(subject))
    assert [p.requires_grad for p in subject.network.parameters()] == [True, True, True, False]
    assert all(parameter.grad is None for parameter in subject.network.parameters())
    assert not any(module._forward_hooks for module in subject.network.modules())


def test_a_network_without_layers_has_no_score() -> None:
    subject = subject_of([nn.ReLU()], 3)
    subject.network[-1] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="no linear layer or convolution sees the images"):
        create("vkdnw").read(Passes(subject))
