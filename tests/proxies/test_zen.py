"""Zen: by hand on linear networks, what norms count, and what is left as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from passes.networks import Plus, subject_of
from torch import nn

from gas.passes import Passes, Subject
from gas.patterns.units import LayerNorm2d
from gas.proxies import create
from gas.proxies.zen import STEP, gaussian, mean_variance


def read(subject: Subject) -> dict[str, float]:
    return create("zen").read(Passes(subject))


def moved(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the images and of the images that differ a little, (B, places, 3)."""
    generator = Passes(subject).generator(12)
    other = subject.images + STEP * torch.randn(subject.images.shape, generator=generator)
    return tuple(x.flatten(2).transpose(1, 2).double().numpy() for x in (subject.images, other))


def test_a_linear_network_by_hand() -> None:
    subject = subject_of([nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1)], 4)
    network, _ = gaussian(subject, Passes(subject).generator(11))
    one, two = (network[index].weight.detach().double().numpy()[:, :, 0, 0] for index in (1, 4))
    biases = [subject.network[index].bias.detach().double().numpy() for index in (1, 4)]
    x, y = (pixels @ one.T + biases[0] for pixels in moved(subject))
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    count = x.shape[0] * x.shape[1]
    out = np.maximum((x - mean) / np.sqrt(variance + 1e-5), 0) @ two.T
    # Kept statistics are those of a sample: one less than there are.
    other = np.maximum((y - mean) / np.sqrt(variance * count / (count - 1) + 1e-5), 0) @ two.T
    distance = np.sqrt(((out - other) ** 2).sum((1, 2))).mean()
    found = read(subject)
    assert found["zen_distance"] == pytest.approx(math.log(distance), rel=1e-3)
    assert found["zen_norms"] == pytest.approx(0.5 * math.log(variance.mean()), rel=1e-5)
    assert found["zen"] == pytest.approx(found["zen_distance"] + found["zen_norms"], rel=1e-12)


def test_a_norm_behind_a_layer_adds_half_the_logarithm_of_its_inputs() -> None:
    wide = subject_of([nn.Conv2d(3, 400, 1, bias=False), nn.Conv2d(400, 400, 1, bias=False), nn.BatchNorm2d(400)], 400)
    assert read(wide)["zen_norms"] == pytest.approx(0.5 * math.log(3 * 400), rel=0.03)


@pytest.mark.parametrize("norm", [LayerNorm2d(32), nn.GroupNorm(1, 32), nn.BatchNorm2d(32)])
def test_it_hardly_matters_which_norm_puts_the_scale_away(norm: nn.Module) -> None:
    found = read(subject_of([nn.Conv2d(3, 32, 1, bias=False), norm, nn.Conv2d(32, 32, 1)], 32, side=8))
    without = read(subject_of([nn.Conv2d(3, 32, 1, bias=False), nn.Conv2d(32, 32, 1)], 32, side=8))
    assert found["zen_norms"] == pytest.approx(0.5 * math.log(3), abs=0.4)
    assert without["zen_norms"] == 0.0
    # What norms take away is put back: the sums agree.
    assert found["zen"] == pytest.approx(without["zen"], abs=0.25)


def test_norms_of_the_head_do_not_count() -> None:
    subject = subject_of([nn.Linear(3, 4), nn.LayerNorm(4)], 4, layout="tokens")
    count = read(subject)["zen_norms"]
    subject.network[-1].classes = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 16))
    # Weights are drawn in order, so those before the head stay the same.
    assert read(subject)["zen_norms"] == count


@pytest.mark.parametrize(("norm", "over"), [(F.layer_norm, (8,)), (F.group_norm, 2), (F.batch_norm, None)])
def test_variances_are_those_that_norms_make_one(norm: object, over: object) -> None:
    x = 3 * torch.randn(6, 5, 8, dtype=torch.float64) if norm is F.layer_norm else 3 * torch.randn(6, 8, 5, 5)
    given = (None, None, None, None, True) if norm is F.batch_norm else (over,)
    made = norm(x, *given)
    axes = {F.layer_norm: (-1,), F.batch_norm: (0, 2, 3)}.get(norm)
    split = (x.view(6, 2, 4, 5, 5), made.view(6, 2, 4, 5, 5)) if axes is None else (x, made)
    variances = [part.var(dim=axes or (2, 3, 4), correction=0) for part in split]
    assert mean_variance(norm, x, over) == pytest.approx(variances[0].mean().item(), rel=1e-5)
    assert torch.allclose(variances[1], torch.ones_like(variances[1]), atol=1e-3)


def test_the_network_is_left_as_it_was() -> None:
    subject = subject_of([nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), Plus(nn.Conv2d(5, 5, 1))], 5)
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    read(subject)
    assert all(torch.equal(before[name], value) for name, value in subject.network.state_dict().items())
    assert not subject.network.training
    assert not any(module._forward_hooks for module in subject.network.modules())


def test_wider_networks_score_higher() -> None:
    def wide(dim: int) -> float:
        layers = [nn.Conv2d(3, dim, 1), nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1), nn.BatchNorm2d(dim)]
        return read(subject_of(layers, dim))["zen"]

    scores = [wide(dim) for dim in (4, 16, 64)]
    assert scores == sorted(scores)


def test_features_that_do_not_move_have_no_score() -> None:
    with pytest.raises(ValueError, match=r"moved by 0.0; expected a finite distance above 0"):
        read(subject_of([nn.Threshold(1e9, 0.0)], 3))


def test_a_norm_of_a_constant_has_no_score() -> None:
    with pytest.raises(ValueError, match=r"a norm has a variance of 0.0 to put back"):
        read(subject_of([nn.Threshold(1e9, 0.0), nn.BatchNorm2d(3)], 3))
