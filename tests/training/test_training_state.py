"""Snapshots: what goes in comes out, and whatever was changed on the way is refused."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from safetensors.torch import load, save

from gas.training import Snapshot

TENSORS = {
    "weights": torch.arange(12.0).view(3, 4).T,  # not contiguous
    "count": torch.tensor(3, dtype=torch.int64),
    "random": torch.arange(9, dtype=torch.uint8),
    "none": torch.empty(0),
}
STATE = Snapshot(TENSORS, {"proxy": "p", "step": "3"}).to_bytes()


def test_what_goes_in_comes_out() -> None:
    found = Snapshot.of(STATE, {"proxy": "p"})
    assert {**found.words} == {"proxy": "p", "step": "3", "format": "gas-training-1"}
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype


def test_it_is_an_ordinary_safetensors_file() -> None:
    assert torch.equal(load(STATE)["weights"], TENSORS["weights"])


def test_equal_snapshots_give_equal_bytes() -> None:
    assert Snapshot(TENSORS, {"step": "3", "proxy": "p"}).to_bytes() == STATE


@hypothesis.given(st.integers(0, len(STATE) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(place: int, change: int) -> None:
    damaged = bytearray(STATE)
    damaged[place] ^= change
    with pytest.raises(ValueError, match="state: "):
        Snapshot.of(bytes(damaged), {"proxy": "p"})


@hypothesis.given(st.integers(0, len(STATE) - 1))
def test_every_cut_is_noticed(length: int) -> None:
    with pytest.raises(ValueError, match="state: "):
        Snapshot.of(STATE[:length], {"proxy": "p"})


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(state: bytes) -> None:
    with pytest.raises(ValueError, match="state: ") as caught:
        Snapshot.of(state, {})
    assert "\n" not in str(caught.value)


def test_other_words_are_named() -> None:
    with pytest.raises(ValueError, match="state: proxy: got 'p'; expected 'q'"):
        Snapshot.of(STATE, {"proxy": "q"})
    with pytest.raises(ValueError, match="state: format: got None; expected 'gas-training-1'"):
        Snapshot.of(save({"weights": torch.zeros(2)}, {"gas": "{}"}), {})
    with pytest.raises(ValueError, match=r"state: .* bytes that are no state of a training"):
        Snapshot.of(save({"weights": torch.zeros(2)}), {})
