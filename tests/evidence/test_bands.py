"""Bands of equal macs, and spaces narrowed to one."""

from __future__ import annotations

import numpy as np
import pytest

from gas.errors import GasError, SettingError
from gas.evidence.bands import bands_of, narrowed, read_bands
from gas.space import load_space


def test_bands_by_number_by_edges_and_by_themselves() -> None:
    costs = [5.0, 1.0, 3.0, 2.0, 6.0, 4.0]
    assert list(bands_of(costs, 3)) == [2, 0, 1, 0, 2, 1]
    assert list(bands_of(costs, [2.0, 5.5])) == [1, 0, 1, 1, 2, 1]
    assert list(bands_of(costs)) == list(bands_of(costs, 3))
    assert list(bands_of([10.0, 11.0, 12.5])) == [0, 0, 0]
    assert list(bands_of([7.0] * 4 + [9.0], 3)) == [bands_of([7.0] * 4 + [9.0], 3)[0]] * 4 + [2]


@pytest.mark.parametrize(("text", "bands"), [(None, None), ("4", 4), ("1G, 2.5G", [1e9, 2.5e9]), ("300", [300.0])])
def test_bands_are_read(text: str | None, bands: object) -> None:
    assert read_bands(text) == bands


@pytest.mark.parametrize("text", ["", "0", "three", "2G,1G", "1G,,2G", "nan", "-3"])
def test_what_is_no_band_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="bands: got"):
        read_bands(text)


def test_a_space_is_narrowed_around_its_median_or_to_ends_within_its_own_bounds() -> None:
    space = load_space("tiny.yaml")
    whole = space.sample_feasible(2048, 0)
    middle = np.median(whole.macs)
    tenth = narrowed(space, "macs=0.1").sample_feasible(100, 1).macs
    assert middle * 0.9 <= tenth.min() < middle < tenth.max() <= middle * 1.1
    ends = narrowed(space, "params=100k..0.2M").sample_feasible(100, 1)
    assert 1e5 <= ends.params.min() < ends.params.max() <= 2e5
    (wide,) = (c for c in narrowed(space, "macs=1..1T").budgets if c.metric == "macs")
    (own,) = (c for c in space.budgets if c.metric == "macs")
    assert (wide.low, wide.high) == (1, own.high)


@pytest.mark.parametrize(
    ("band", "text"),
    [
        ("mac=0.1", "band: got 'mac'; expected macs or params.*did you mean 'macs'"),
        ("macs=1.5", "band: got 'macs=1.5'; expected macs=0.1 or"),
        ("macs=", "band: got 'macs='"),
        ("macs=3M..2M", "band: got"),
        ("macs=1..2", "macs"),
    ],
)
def test_a_band_that_cannot_be_is_refused(band: str, text: str) -> None:
    with pytest.raises(GasError, match=text):
        narrowed(load_space("tiny.yaml"), band)
