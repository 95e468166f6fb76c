"""AZ-NAS: its parts by hand, the score of one design from them, and the paper's ranks in a pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist, fmean, pstdev

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.networks import Plus, subject_of
from torch import nn

from gas.passes import Passes
from gas.patterns.mlp import Mlp
from gas.proxies import create
from gas.proxies.az_nas import USUAL, az_nas_ranks, levelled, trainability
from gas.space import bundled, load

PARTS = [f"az_nas_{part}" for part in ("expressivity", "progressivity", "trainability", "complexity")]


def pool(*columns: tuple[float, ...]) -> list[Mapping[str, float]]:
    return [dict(zip(PARTS, row, strict=True)) for row in zip(*columns, strict=True)]


def test_the_parts_of_a_network_of_linear_blocks() -> None:
    first, second = nn.Linear(3, 8), nn.Linear(8, 8)
    subject = subject_of([first, Plus(second)], 8, layout="tokens", batch=50)
    passes = Passes(subject)
    generator = passes.generator(2)
    images = torch.cat([torch.randn(50, 3, 4, 4, generator=generator) for _ in range(2)])
    x = images.flatten(2).transpose(1, 2).flatten(0, 1).numpy() @ first.weight.detach().numpy().T
    y = x + x @ second.weight.detach().numpy().T
    entropies = []
    for features in (x, y):
        singular = np.linalg.svd(features.astype(float) - features.mean(0), compute_uv=False)
        shares = singular[:3] ** 2 / (singular[:3] ** 2).sum()  # three pixels make three directions
        entropies.append(-(shares * np.log(shares)).sum())
    norms = [
        np.linalg.svd(w, compute_uv=False)[0] for w in (first.weight.detach(), torch.eye(8) + second.weight.detach())
    ]
    found = create("az_nas").read(passes)
    assert found["az_nas_expressivity"] == pytest.approx(sum(entropies), rel=1e-3)
    assert found["az_nas_progressivity"] == pytest.approx(entropies[1] - entropies[0], abs=1e-3)
    assert found["az_nas_trainability"] == pytest.approx(np.mean([2 - s - 1 / s for s in norms]), rel=1e-4)
    assert found["az_nas_complexity"] == math.log(1000)


def test_the_score_is_the_sum_of_log_quantiles() -> None:
    subject = subject_of([Plus(Mlp(3, 8)), Plus(Mlp(3, 8))], 3, layout="tokens")
    found = create("az_nas").read(Passes(replace(subject, macs=10**9)))
    values = {name.removeprefix("az_nas_"): found[name] for name in PARTS}
    values["trainability"] = -math.log(-values["trainability"])
    quantiles = [NormalDist(*USUAL[part]).cdf(value) for part, value in values.items()]
    assert found["az_nas"] == pytest.approx(sum(map(math.log, quantiles)), rel=1e-9)
    assert list(found) == ["az_nas", *PARTS]
    assert math.isfinite(found["az_nas"])


def test_progress_is_the_least_step() -> None:
    # The second block throws all directions but one away, the third cannot bring them back.
    narrow = nn.Linear(3, 3)
    subject = subject_of([nn.Linear(3, 3), narrow, nn.Linear(3, 3)], 3, layout="tokens")
    with torch.no_grad():
        narrow.weight[1:] = 0
    found = create("az_nas").read(Passes(subject))
    assert found["az_nas_progressivity"] < -0.2
    assert found["az_nas_expressivity"] == pytest.approx(-found["az_nas_progressivity"], abs=1e-3)


@pytest.mark.parametrize(
    ("norms", "expected"), [([1.0], 0.0), ([2.0], -0.5), ([0.5], -0.5), ([1.0, 2.0, 4.0], (0 - 0.5 - 2.25) / 3)]
)
def test_trainability_of_known_norms(norms: list[float], expected: float) -> None:
    gains = [torch.diag(torch.tensor([0.1, norm])) for norm in norms]
    assert trainability([None, *gains]) == pytest.approx(expected)
    turned = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    assert trainability([turned @ gain for gain in gains]) == pytest.approx(expected)


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(ValueError, match="no block keeps its places"):
        trainability([None, None])
    with pytest.raises(ValueError, match="lets no gradient through"):
        trainability([torch.eye(2), torch.zeros(2, 2)])
    with pytest.raises(ValueError, match="got 1 block; expected two at least"):
        create("az_nas").read(Passes(subject_of([nn.Linear(3, 3)], 3, layout="tokens")))


def test_ranks_by_hand() -> None:
    rows = pool((1.0, 2.0, 3.0), (5.0, 5.0, 1.0), (-3.0, -2.0, -1.0), (7.0, 9.0, 8.0))
    third = math.log(1 / 3), math.log(2 / 3), 0.0
    tied = math.log(2.5 / 3)
    expected = [third[0] + tied + third[0] + third[0], third[1] + tied + third[1] + 0.0, third[0] + third[1]]
    assert az_nas_ranks(rows) == pytest.approx(expected)
    assert az_nas_ranks([]) == []
    assert az_nas_ranks(rows[:1]) == [0.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_ranks_see_order_alone(values: list[tuple[float, ...]], random: object) -> None:
    rows = pool(*zip(*values, strict=True))
    scores = az_nas_ranks(rows)
    assert all(score <= 1e-12 for score in scores)
    order = list(range(len(rows)))
    random.shuffle(order)
    assert az_nas_ranks([rows[i] for i in order]) == pytest.approx([scores[i] for i in order])
    for row, score in zip(rows, scores, strict=True):
        below = [sum(other[part] < row[part] for other in rows) for part in PARTS]
        same = [sum(other[part] == row[part] for other in rows) for part in PARTS]
        ranks = [b + (s + 1) / 2 for b, s in zip(below, same, strict=True)]
        assert score == pytest.approx(sum(math.log(rank / len(rows)) for rank in ranks), abs=1e-9)


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_pool_with_a_gap_is_refused(value: float | None) -> None:
    rows = [dict(row) for row in pool((1.0, 2.0), (1.0, 2.0), (1.0, 2.0), (1.0, 2.0))]
    rows[1]["az_nas_trainability"] = value
    if value is None:
        del rows[1]["az_nas_trainability"]
    with pytest.raises(ValueError, match=r"rows\[1\].az_nas_trainability: got (nan|inf); expected a finite number"):
        az_nas_ranks(rows)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_usual_values_are_those_of_the_zoo() -> None:
    proxy = create("az_nas")
    found = [proxy.score(load(name)) for name in bundled() if name.startswith("zoo/")]
    for part, (mean, deviation) in USUAL.items():
        values = [levelled(part, metrics[f"az_nas_{part}"]) for metrics in found]
        assert fmean(values) == pytest.approx(mean, abs=0.25 * deviation)
        assert pstdev(values) == pytest.approx(deviation, rel=0.25)
    ranks = az_nas_ranks(found)
    scores = [metrics["az_nas"] for metrics in found]
    assert np.corrcoef(np.argsort(np.argsort(ranks)), np.argsort(np.argsort(scores)))[0, 1] > 0.8
