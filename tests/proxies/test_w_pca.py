"""W-PCA: against scikit-learn on what comes out of the MLPs' first layers, and where there is no MLP."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from passes.networks import Plus, subject_of
from proxies.designs import hierarchical
from sklearn.decomposition import PCA
from torch import nn

from gas.passes import Passes, fresh
from gas.patterns.mlp import Mlp
from gas.plan import plan
from gas.proxies import create


def counted(features: np.ndarray) -> int:
    shares = np.cumsum(PCA(svd_solver="full").fit(features.astype(float)).explained_variance_ratio_)
    return int(np.searchsorted(shares, 0.99)) + 1


def test_it_counts_the_components_of_the_mlps_hidden_states() -> None:
    design = hierarchical(16, (16, 24), (2, 1), resolution=32, mask_unit=2, heads=2)
    subject = fresh(design, resolution=32, batch=8)
    states: dict[nn.Module, list[torch.Tensor]] = {}
    for module in subject.network.modules():
        if isinstance(module, Mlp):
            module.fc1.register_forward_hook(lambda layer, _, output: states.setdefault(layer, []).append(output))
    found = create("w_pca").read(Passes(subject))
    assert len(states) == 3
    total = sum(counted(torch.cat(list(parts)).flatten(0, -2).numpy()) for parts in states.values())
    params = plan(design).cost.params
    assert found == {"w_pca": float(total * params), "w_pca_components": float(total)}


def test_a_block_without_hidden_states_counts_what_it_gives_out() -> None:
    subject = subject_of([nn.Linear(3, 10), Mlp(10, 24)], 10, layout="tokens", images=16)
    with torch.no_grad():  # a state that varies in two directions alone
        first = subject.blocks[0].module
        first.weight[2:] = 0
        first.bias.zero_()
    assert create("w_pca").read(Passes(subject)) == {"w_pca": 4 * 50.0, "w_pca_components": 4.0}


def test_the_order_of_hidden_channels_does_not_matter() -> None:
    def read(order: list[int]) -> dict[str, float]:
        block = Mlp(3, 12)
        subject = subject_of([Plus(block), Mlp(3, 12)], 3, layout="tokens")
        with torch.no_grad():
            block.fc1.weight.copy_(block.fc1.weight[order])
            block.fc1.bias.copy_(block.fc1.bias[order])
            block.fc2.weight.copy_(block.fc2.weight[:, order])
        return create("w_pca").read(Passes(subject))

    assert read(list(range(12))) == read([5, 3, 11, 0, 1, 2, 4, 6, 10, 9, 8, 7])


def test_features_that_are_not_finite_are_a_reason() -> None:
    subject = subject_of([Mlp(3, 12)], 3, layout="tokens")
    with torch.no_grad():
        subject.blocks[0].module.fc1.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match="not finite"):
        create("w_pca").read(Passes(subject))
