"""Principal components: against hand-made covariances, over blocks, and monotone in width."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from proxies.designs import hierarchical, tiny
from sklearn.decomposition import PCA

from gas.errors import DesignError
from gas.model import build
from gas.proxies import create
from gas.proxies.pca_count import block_counts, component_count
from gas.proxies.reduce import reduce
from gas.space import load


def features_with_variances(variances: list[float], rotated: bool) -> torch.Tensor:
    """Rows whose covariance has exactly these eigenvalues (up to a factor), moved off the origin."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(64, len(variances), generator=generator, dtype=torch.float64))
    basis = basis - basis.mean(dim=0)
    basis, _ = torch.linalg.qr(basis)
    features = basis * torch.tensor(variances, dtype=torch.float64).sqrt()
    if rotated:
        turn, _ = torch.linalg.qr(torch.randn(len(variances), len(variances), generator=generator, dtype=torch.float64))
        features = features @ turn
    return features + 5.0


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize(
    ("variances", "share", "count"),
    [
        ([1, 1, 1, 1], 0.99, 4),
        ([1, 1, 1, 1], 0.75, 3),  # met exactly
        ([1, 1, 1, 1], 0.76, 4),
        ([97, 1, 1, 1], 0.99, 3),
        ([99.5, 0.5, 0, 0], 0.99, 1),
        ([50, 48.9, 1.1, 0], 0.99, 3),
        ([50, 49.1, 0.9, 0], 0.99, 2),
    ],
)
def test_components_of_a_known_covariance(variances: list[float], share: float, count: int, rotated: bool) -> None:
    assert component_count(features_with_variances(variances, rotated), share) == count


@pytest.mark.parametrize("shape", [(100, 12), (12, 100)])
def test_it_counts_as_scikit_learn_does(shape: tuple[int, int]) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.1, 3, shape[1])
    shares = np.cumsum(PCA().fit(features.double().numpy()).explained_variance_ratio_)
    assert component_count(features) == int(np.searchsorted(shares, 0.99)) + 1


def test_features_that_do_not_vary_have_no_components() -> None:
    assert component_count(torch.ones(10, 4)) == 0


def test_every_block_is_counted_on_its_own_output() -> None:
    design = hierarchical(16, (16, 24, 32), (2, 1, 3), resolution=64, mask_unit=4, heads=2)
    network, images = build(design, classes=3, seed=0).eval(), torch.randn(8, 3, 64, 64)
    counts = block_counts(network, design, images)
    assert len(counts) == 6
    with torch.inference_mode():
        maps = network.forward_features(images)
    ends = [component_count(m.movedim(1, -1).flatten(0, -2)) for m in maps]
    assert [counts[1], counts[2], counts[5]] == ends
    assert not any(module._forward_hooks for module in network.modules())


def test_the_score_is_the_mean_over_initialisations() -> None:
    def score(seeds: int, seed: int) -> float:
        proxy = create("pca_count", {"fidelity": {"resolution": 32, "batch": 32, "seeds": seeds}})
        return proxy.score(tiny(32), seed=seed)["pca_count"]

    assert score(2, 1) == (score(1, 2) + score(1, 3)) / 2


def test_wider_designs_count_more() -> None:
    proxy = create("pca_count", {"fidelity": {"resolution": 32, "seeds": 2}})
    scores = [proxy.score(tiny(dim))["pca_count"] for dim in (8, 16, 32, 48)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 4


def test_deeper_designs_count_more_and_the_share_is_a_share() -> None:
    proxy = create("pca_count", {"fidelity": {"resolution": 32, "seeds": 1}})
    shallow, deep = (
        proxy.score(hierarchical(16, (16, 32), (1, n), resolution=32, mask_unit=2, heads=2)) for n in (1, 3)
    )
    assert deep["pca_count"] > shallow["pca_count"]
    assert 0 < deep["pca_count_share"] <= 1


def test_no_data_is_read() -> None:
    proxy = create("pca_count", {"data": "/nowhere/at/all", "fidelity": {"resolution": 32, "seeds": 1}})
    proxy.prepare()
    assert proxy.score(tiny())["pca_count"] > 0


def test_layer_scales_and_batch_norms_do_not_mute_a_block() -> None:
    """The other route: batch norms that normalise by the batch itself, as in training."""
    design = load("swiftformer_xs")
    small = reduce(design, resolution=64, width=0.5)
    network = build(small, classes=2, seed=0)
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    muted = sum(block_counts(network.eval(), small, images))
    scales = [p for name, p in network.named_parameters() if name.endswith("gamma")]
    assert scales
    with torch.no_grad():
        for scale in scales:
            scale.fill_(1.0)
    expected = sum(block_counts(network.train(), small, images))
    fidelity = {"resolution": 64, "width": 0.5, "batch": 8, "seeds": 1}
    found = create("pca_count", {"fidelity": fidelity}).score(design)["pca_count"]
    assert abs(found - expected) <= 1  # a share of the variance may be met exactly but for rounding
    assert abs(found - muted) > 5


def test_windows_that_do_not_divide_a_small_grid_are_counted_on_a_larger_one() -> None:
    fidelity = {"resolution": 64, "batch": 2, "width": 0.25, "seeds": 1}
    with pytest.raises(DesignError, match="window"):
        reduce(load("fastervit_0"), resolution=64)
    metrics = create("pca_count", {"fidelity": fidelity}).score(load("fastervit_0"))
    assert 0 < metrics["pca_count_share"] <= 1
