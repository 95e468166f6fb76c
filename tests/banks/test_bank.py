"""A bank's slices: losses and gradients are those of the design alone, for every design of the zoo; and growth."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from banks.small import enlarged, grown, network_of, smallest
from banks.test_places import QUICK_ZOO, marked
from hypothesis import given, settings
from hypothesis import strategies as st
from proxies.designs import hierarchical
from torch.func import functional_call

from gas.banks import Bank
from gas.banks.bank import padded
from gas.errors import DesignError
from gas.model import build


def gradient(bank: Bank, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The leading part of a tensor's gradient; whatever lies outside it must be 0."""
    whole = bank.tensors[key].grad
    part = whole[tuple(slice(size) for size in shape)]
    assert whole.abs().sum() == pytest.approx(part.abs().sum().item(), rel=1e-5), f"{key}: a slice was overrun"
    return part


@pytest.mark.parametrize("name", marked(QUICK_ZOO))
def test_loss_and_gradients_are_those_of_the_design_alone(name: str) -> None:
    design = smallest(name)
    network = network_of(design)
    held = grown(design)
    bank = Bank({key: tensor.requires_grad_() for key, tensor in enlarged(held).tensors.items()})
    alone, wanted = copy.deepcopy(network), bank.slots(network, design)
    images = torch.randn(4, 3, design.resolution, design.resolution, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(4)
    torch.manual_seed(2)  # dropout
    loss = F.cross_entropy(functional_call(network, bank.weights(wanted), (images,)), labels)
    loss.backward()
    torch.manual_seed(2)
    other = F.cross_entropy(alone(images), labels)
    other.backward()
    assert loss.item() == pytest.approx(other.item(), rel=1e-6)
    expected = {name: parameter.grad for name, parameter in alone.named_parameters()}
    for slot in wanted:
        if expected[slot.name] is None:  # a branch that this fidelity does not reach
            assert all(bank.tensors[key].grad is None for key, _ in slot.pieces)
            continue
        found = torch.cat([gradient(bank, key, shape) for key, shape in slot.pieces], dim=slot.dim)
        size = expected[slot.name].abs().max().item()
        assert torch.allclose(found, expected[slot.name], atol=1e-5 * size + 1e-9), slot.name


def test_a_filled_network_computes_what_the_slices_compute() -> None:
    design = hierarchical(16, (16, 32), (1, 2), heads=2, mask_unit=2, resolution=32)
    bank = enlarged(grown(hierarchical(32, (32, 64), (2, 2), heads=2, mask_unit=2, resolution=32)))
    network = network_of(design).eval()
    wanted = bank.slots(network, design)
    images = torch.randn(2, 3, 32, 32)
    sliced = functional_call(network, bank.weights(wanted), (images,))
    assert not torch.equal(sliced, network(images))
    bank.fill(network, wanted)
    assert torch.equal(sliced, network(images))


def test_a_design_that_the_bank_does_not_hold_is_refused_by_its_place() -> None:
    small, deep, wide = (
        hierarchical(d, (d, 2 * d), (depth, 1), heads=2, mask_unit=2) for d, depth in ((16, 1), (16, 2), (32, 1))
    )
    bank = grown(small)
    for design, where in ((deep, "stages[0].blocks[0][1]"), (wide, "stem")):
        network = build(design, classes=10, seed=0)
        wanted = bank.slots(network, design)
        assert bank.lacks(wanted)
        with pytest.raises(DesignError, match="the bank was made for another space or fidelity") as caught:
            bank.weights(wanted)
        assert caught.value.where == where


def test_growing_keeps_what_was_there_and_starts_the_rest_as_the_design_would() -> None:
    small, wide = (hierarchical(d, (d, 2 * d), (1, 1), heads=2, mask_unit=2) for d in (16, 32))
    bank = grown(small)
    before = {key: tensor.clone() for key, tensor in bank.tensors.items()}
    network = build(wide, classes=10, seed=7)
    wanted = bank.slots(network, wide)
    changed = bank.grow(network, wanted, torch.Generator().manual_seed(0))
    assert set(changed) <= set(bank.tensors)
    assert changed
    parameters = dict(network.named_parameters())
    for slot in wanted:
        fresh = parameters[slot.name].split([shape[slot.dim] for _, shape in slot.pieces], dim=slot.dim)
        for (key, _), part in zip(slot.pieces, fresh, strict=True):
            inner = tuple(slice(size) for size in before[key].shape)
            assert torch.equal(bank.tensors[key][inner], before[key])
            outside = torch.ones_like(part, dtype=torch.bool)
            outside[inner] = False
            assert torch.equal(bank.tensors[key][outside], part[outside])
    assert bank.grow(network, wanted, torch.Generator()) == []


sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(sizes, sizes)
@settings(max_examples=60)
def test_a_tensor_that_grows_along_two_dimensions_holds_both(first: tuple[int, int], second: tuple[int, int]) -> None:
    from gas.banks.bank import _joined

    held, fresh = torch.full(first, -1.0), torch.arange(float(second[0] * second[1])).reshape(second) + 1
    joined = _joined(held, fresh, torch.Generator().manual_seed(0))
    assert joined.shape == tuple(max(pair) for pair in zip(first, second, strict=True))
    assert (joined[: first[0], : first[1]] == -1).all()
    rest = joined[joined != -1]
    assert torch.isin(rest, fresh).all()
    kept = joined[: second[0], : second[1]]
    assert torch.equal(kept[kept != -1], fresh[kept != -1])


@given(sizes)
def test_padding_puts_zeros_around(shape: tuple[int, int]) -> None:
    larger = padded(torch.ones(shape), (shape[0] + 1, shape[1] + 2))
    assert larger.shape == (shape[0] + 1, shape[1] + 2)
    assert larger.sum() == shape[0] * shape[1] == larger[: shape[0], : shape[1]].sum()
