"""synflow, log_synflow and dss: closed forms, numpy's singular values, and which layers are whose."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from passes.test_positive import seeded_linears, subject_of
from proxies.designs import hierarchical
from torch import nn

from gas.model import block_modules, network_part
from gas.passes import Passes, Positive
from gas.proxies import create
from gas.proxies.dss import nuclear_norm, token_mixers
from gas.proxies.log_synflow import log_one_plus
from gas.proxies.training_free import look
from gas.space import bundled, load

SYNFLOWS = ("synflow", "synflow_normed")
ZOO = [name for name in bundled() if name.startswith("zoo/")]


@pytest.mark.parametrize("widths", [[3, 5, 2], [3, 8, 4, 6, 2]])
def test_synflow_of_a_linear_network_is_its_response_once_per_layer(widths: list[int]) -> None:
    layers = seeded_linears(widths)
    vector = np.ones(3)
    for layer in layers:
        vector = np.abs(layer.weight.detach().numpy().astype(float)) @ vector
    passes = Passes(subject_of(*layers, blocks=tuple(range(len(layers)))))
    expected = math.log(len(layers) * 16 * vector.sum())
    # Without norms and attention both passes are one.
    assert create("synflow").read(passes) == pytest.approx(dict.fromkeys(SYNFLOWS, expected), rel=1e-12)


def test_log_synflow_of_a_linear_network() -> None:
    first, second = seeded_linears([3, 5, 2])
    one, two = (np.abs(layer.weight.detach().numpy().astype(float)) for layer in (first, second))
    flow = 16 * np.outer(two.sum(0), np.ones(3)), 16 * np.outer(np.ones(2), one.sum(1))
    expected = math.log((one * np.log(flow[0] + 1)).sum() + (two * np.log(flow[1] + 1)).sum())
    found = create("log_synflow").read(Passes(subject_of(first, second, blocks=(0, 1))))
    assert found == pytest.approx({"log_synflow": expected, "log_synflow_normed": expected}, rel=1e-12)


def test_the_logarithm_of_one_more_is_exact_for_all_sizes() -> None:
    values = torch.tensor([0.0, 1e-12, 0.5, 3.0], dtype=torch.float64)
    assert log_one_plus(values, 0.0).tolist() == pytest.approx([math.log1p(v) for v in values.tolist()], rel=1e-9)
    assert log_one_plus(values, 900.0).tolist()[2:] == pytest.approx([900 + math.log(0.5), 900 + math.log(3)])
    assert log_one_plus(values, 900.0)[0] == 0.0


@pytest.mark.parametrize("shape", [(7, 7), (12, 5), (5, 12), (6, 3, 3, 3), (8, 1, 7, 7), (9, 2, 3)])
def test_nuclear_norm_is_the_sum_of_singular_values(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    singular = np.linalg.svd(weight.numpy().reshape(shape[0], -1), compute_uv=False)
    assert nuclear_norm(weight) == pytest.approx(singular.sum(), rel=1e-9)


def test_nuclear_norm_of_a_matrix_of_rank_one_and_of_a_turned_one() -> None:
    left, right = torch.randn(20, dtype=torch.float64), torch.randn(30, dtype=torch.float64)
    assert nuclear_norm(torch.outer(left, right)) == pytest.approx((left.norm() * right.norm()).item(), rel=1e-5)
    matrix = torch.randn(20, 30, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64))
    assert nuclear_norm(turn @ matrix) == pytest.approx(nuclear_norm(matrix))


def test_dss_of_given_weights_and_gradients() -> None:
    block = nn.Module()
    block.token_mixer, block.channel_mixer = nn.Conv2d(4, 6, 3), nn.Linear(6, 5)
    network = nn.Sequential(nn.Linear(3, 4), block, nn.Linear(5, 2))
    generator = torch.Generator().manual_seed(0)
    weights, gradients = {}, {}
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            weights[name] = torch.rand(parameter.shape, dtype=torch.float64, generator=generator)
            gradients[name] = torch.rand(parameter.shape, dtype=torch.float64, generator=generator)
    seen = Positive(weights, gradients)
    subject = SimpleNamespace(network=network, blocks=[SimpleNamespace(module=block)])
    found = create("dss").read(SimpleNamespace(subject=subject, absolute=seen, check=lambda _: None))

    def norm(matrix: torch.Tensor) -> float:
        return np.linalg.svd(matrix.numpy().reshape(len(matrix), -1), compute_uv=False).sum()

    mixer = "1.token_mixer.weight"
    diversity = norm(weights[mixer]) * norm(gradients[mixer])
    others = [name for name in weights if name != mixer]
    saliency = sum(float(np.vdot(weights[name].numpy(), gradients[name].numpy())) for name in others)
    assert len(others) == 3
    logs = {"dss": diversity + saliency, "dss_mixers": diversity, "dss_others": saliency}
    assert found == pytest.approx({name: math.log(value) for name, value in logs.items()}, rel=1e-9)


def test_a_network_without_token_mixers_has_the_saliency_alone() -> None:
    passes = Passes(subject_of(*seeded_linears([3, 5, 2])))
    found = create("dss").read(passes)
    assert set(found) == {"dss", "dss_others"}
    assert found["dss"] == pytest.approx(create("synflow").read(passes)["synflow"])


WHOSE = {
    "zoo/hiera_tiny": {
        "token_mixer.qkv": True,
        "token_mixer.proj": True,
        "channel_mixer.fc1": False,
        "channel_mixer.fc2": False,
        "shortcut": False,
    },
    "zoo/mobilevit_xxs": {"back.conv": False, "local.0.conv": True, "local.1": False, "1.conv": None},
    "zoo/efficientformerv2_s0": {"q.conv": True, "local.conv": True, "channel_mixer.depthwise.conv": False},
    "zoo/qna_vit_t": {"attention.proj": True, "shortcut": False},
    "zoo/fastervit_0": {"local.channel_mixer.fc1": False, "between.token_mixer.qkv": True, "place.fc1": False},
    "zoo/efficientvit_m0": {"local.branch.conv": True, "channel_mixer.fc1.conv": False},
    "zoo/pit_ti": {"conv": True, "linear": False},
}


QUICK = ("zoo/efficientvit_m0", "zoo/mobilevit_xxs", "zoo/pit_ti")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in WHOSE])
def test_which_layers_are_whose(name: str) -> None:
    design = load(name)
    with torch.device("meta"):
        network = network_part(design).build()
    blocks = [module for module, _ in block_modules(network, design)]
    mixers = token_mixers(network, blocks)
    layers = {n for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert mixers < layers
    assert not any(layer.startswith(("stem", "head")) for layer in mixers)
    for ending, mixes in WHOSE[name].items():
        belonging = {layer for layer in layers if layer.startswith("stages") and f".{layer}".endswith(f".{ending}")}
        assert belonging
        if mixes is not None:
            assert belonging <= mixers if mixes else not belonging & mixers


@pytest.mark.parametrize("name", ["synflow", "log_synflow"])
def test_wider_and_deeper_designs_score_higher(name: str) -> None:
    fidelity = create(name, {"fidelity": {"resolution": 32}}).fidelity
    small, deep, wide = (
        create(name).read(
            look(hierarchical(d, (d, 2 * d), (1, n), resolution=32, mask_unit=2, heads=2), fidelity, 0, 0)
        )
        for d, n in ((16, 1), (16, 4), (32, 1))
    )
    assert small[name] < wide[name]
    assert small[name] < deep[name]


def test_no_image_is_seen() -> None:
    fidelity = create("synflow", {"fidelity": {"resolution": 32}}).fidelity
    passes = look(hierarchical(8, (8, 16), (1, 1), resolution=32, mask_unit=2, heads=2), fidelity, 0, 0)
    first = create("synflow").read(passes)
    passes.subject.images.fill_(1e9)
    del passes.positive, passes.absolute
    assert create("synflow").read(passes) == first


ZOO_QUICK = ("zoo/efficientvit_m0", "zoo/mobilevit_xxs")
GRADIENT_SCORES = ("grad_norm", "snip", "zico", "synflow", "log_synflow", "dss")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in ZOO_QUICK)) for n in ZOO])
def test_every_design_of_the_zoo_has_finite_scores(name: str) -> None:
    passes = look(load(name), create("dss").fidelity, 0, 0)
    for score in GRADIENT_SCORES:
        assert all(map(math.isfinite, create(score).read(passes).values())), score
    assert all((g >= 0).all() for g in passes.positive.gradients.values())
