"""Gradients over Ray workers are those of one process."""

from __future__ import annotations

import pytest
import torch
from banks.small import grown, images
from proxies.designs import hierarchical

from gas.banks.training import LocalGradients
from gas.errors import SettingError
from gas.evaluators._data_parallel import DataParallel

LARGE, SMALL = (hierarchical(d, (d, 2 * d), (1, 1), heads=2, mask_unit=2, resolution=32) for d in (16, 8))


@pytest.mark.slow
@pytest.mark.parametrize("count", [16, 15, 1])
def test_gradients_are_those_of_one_process(count: int) -> None:
    data, bank = images(), grown(LARGE)
    chosen = torch.arange(count)
    wanted, losses = LocalGradients(data, 3)(bank, [LARGE, SMALL], chosen, 0, 0.5)
    with DataParallel(data, 2, seed=3) as parallel:
        found, others = parallel(bank, [LARGE, SMALL], chosen, 0, 0.5)
    assert others == pytest.approx(losses, rel=1e-5)
    assert found.keys() == wanted.keys()
    for key, gradient in found.items():
        assert torch.allclose(gradient, wanted[key], rtol=1e-3, atol=1e-7), key


def test_workers_are_counted() -> None:
    with pytest.raises(SettingError, match="workers: got 0"):
        DataParallel(images(), 0)
