"""SWAP and NASWOT: against sets in plain Python, by hand, and under what must not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from passes.networks import Plus, subject_of
from torch import nn

from gas.passes import Passes
from gas.patterns.mlp import Mlp
from gas.proxies import create
from gas.proxies.naswot import log_kernel
from gas.proxies.swap import patterns
from gas.proxies.training_free import look
from gas.space import load

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 60))  # more images than bits in a word, too


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(bool, SHAPES), st.randoms(use_true_random=False))
def test_patterns_are_the_different_columns(codes: np.ndarray, random: object) -> None:
    images, neurons = codes.shape
    expected = len({tuple(column) for column in codes.T.tolist()})
    assert patterns(torch.from_numpy(codes)) == expected
    rows, columns = list(range(images)), list(range(neurons))
    random.shuffle(rows)
    random.shuffle(columns)
    assert patterns(torch.from_numpy(codes[rows][:, columns])) == expected
    assert patterns(torch.from_numpy(np.concatenate([codes, codes], axis=1))) == expected


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(2, 6), st.integers(1, 40))))
def test_the_kernel_counts_agreements(codes: np.ndarray) -> None:
    agree = (codes[:, None, :] == codes[None, :, :]).sum(axis=-1).astype(float)
    determinant = np.linalg.det(agree)
    if abs(determinant) > 1e-3:
        assert log_kernel(torch.from_numpy(codes)) == pytest.approx(math.log(abs(determinant)), rel=1e-6)


def test_swap_by_hand() -> None:
    subject = subject_of([nn.Conv2d(3, 2, 1, bias=False), nn.ReLU()], 2, batch=1, side=2, pixels=9.0)
    with torch.no_grad():  # the second channel is the first one's opposite: on where that is off
        subject.network[1].weight[1] = -subject.network[1].weight[0]
    found = create("swap").read(Passes(subject))
    codes = Passes(subject).forward.codes  # (2 images, 2 channels x 4 places)
    assert codes.shape == (2, 8)
    assert (codes[:, :4] != codes[:, 4:]).all()
    different = {(bool(a), bool(b)) for a, b in codes.T}
    assert found == {"swap": 9.0 * len(different), "swap_share": len(different) / 8}


def test_naswot_is_per_image_and_at_the_designs_own_size() -> None:
    subject = subject_of([Mlp(3, 40)], 3, layout="tokens", images=6, pixels=4.0)
    codes = Passes(subject).shared.codes.numpy()
    agree = (codes[:, None, :] == codes[None, :, :]).sum(axis=-1).astype(float) * 4.0
    assert create("naswot").read(Passes(subject))["naswot"] == pytest.approx(np.linalg.slogdet(agree)[1] / 6)


@pytest.mark.parametrize("name", ["swap", "naswot"])
def test_scale_and_order_of_channels_do_not_matter(name: str) -> None:
    def read(order: list[int], scale: float) -> dict[str, float]:
        block = Mlp(3, 9, act="relu")
        subject = subject_of([Plus(block)], 3, layout="tokens")
        with torch.no_grad():
            for parameter in block.fc1.parameters():
                parameter.copy_(parameter[order] * scale)
            block.fc1.bias.zero_()
        return create(name).read(Passes(subject))

    plain = read(list(range(9)), 1.0)
    assert read(list(range(9)), 37.0) == plain
    assert read([4, 2, 8, 0, 1, 3, 7, 5, 6], 1.0) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("name", ["swap", "naswot"])
def test_a_network_without_non_linearities_has_no_score(name: str) -> None:
    with pytest.raises(ValueError, match="no non-linearity was seen"):
        create(name).read(Passes(subject_of([nn.Linear(3, 3)], 3, layout="tokens")))


@pytest.mark.slow
def test_few_images_saturate_and_the_usual_number_does_not() -> None:
    proxy = create("swap")
    passes = look(load("zoo/fastvit_t8"), proxy.fidelity, 0, 0)
    found = proxy.read(passes)
    assert found["swap_share"] > 0.9
    half = patterns(passes.forward.codes[:16])
    assert half > 0.8 * 2**16
    assert half < 0.5 * found["swap_share"] * passes.forward.codes.shape[1]
