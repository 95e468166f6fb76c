"""Parameter groups, the decay of the rate by depth, and the mean of the weights against its definition."""

from __future__ import annotations

import pytest
import torch
from trainer.small_training import design

from gas.model import build
from gas.space import load
from gas.trainer.optimiser import MeanWeights, depths, optimiser_of, set_rate
from gas.trainer.recipe import TrainingRecipe


@pytest.mark.parametrize("name", ["small", "hiera_tiny", "fastvit_t8", "edgenext_small"])
def test_every_parameter_has_a_depth_that_rises_with_the_network(name):
    architecture = design() if name == "small" else load(name)
    network = build(architecture, seed=0)
    found = depths(network, architecture)
    assert found.keys() == {id(p) for p in network.parameters()}
    ordered = [found[id(p)] for part in (network.stem, *network.stages, network.head) for p in part.parameters()]
    assert ordered == sorted(ordered)
    assert set(ordered) == set(range(sum(architecture.depths) + 2)) or name != "small"
    assert {found[id(p)] for p in network.stem.parameters()} == {0}


def test_rates_fall_from_the_head_to_the_stem():
    architecture = design()
    network = build(architecture, seed=0)
    optimiser = optimiser_of(network, architecture, TrainingRecipe(layer_decay=0.5))
    set_rate(optimiser, 0.8)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in network.head.parameters()} == {0.8}
    assert {rates[id(p)] for p in network.stem.parameters()} == {0.8 * 0.5**3}
    assert len(rates) == len(list(network.parameters()))


def test_without_layer_decay_two_groups_are_left():
    architecture = design()
    network = build(architecture, seed=0)
    optimiser = optimiser_of(network, architecture, TrainingRecipe(decay=0.3, beta2=0.95))
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.3, 0.0]
    assert all(group["factor"] == 1 and group["betas"] == (0.9, 0.95) for group in optimiser.param_groups)
    assert all(p.ndim > 1 for p in optimiser.param_groups[0]["params"])


def test_the_mean_is_that_of_its_definition():
    network = torch.nn.BatchNorm1d(3)
    mean = MeanWeights(network, 0.9)
    expected = network.weight.detach().clone()
    for step in range(1, 200):
        with torch.no_grad():
            network.weight.copy_(torch.tensor([float(step), 1.0, -step]))
        network(torch.randn(4, 3, generator=torch.Generator().manual_seed(step)))
        mean.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach()
        torch.testing.assert_close(mean.tensors["weight"], expected)
    assert mean.tensors["num_batches_tracked"] == 199
    assert not torch.equal(mean.tensors["running_mean"], network.running_mean)
