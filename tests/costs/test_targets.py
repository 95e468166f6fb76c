from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from gas.costs import TARGETS, Target
from gas.errors import SettingError, UnknownNameError
from gas.testing import TARGET_CHECKS, check_target
from gas.testing.targets import RUNNING


def contracts() -> Iterator[object]:
    """Every check of every target; to compile takes seconds."""
    for name, check in itertools.product(TARGETS.names(), TARGET_CHECKS):
        slow = [pytest.mark.slow] if name == "cpu_compiled" and check in RUNNING else []
        yield pytest.param(name, check, marks=slow, id=f"{name}-{check}")


@pytest.mark.parametrize(("name", "check"), list(contracts()))
def test_contract(name: str, check: str) -> None:
    left_out = check_target(name, check)
    if left_out:
        assert TARGETS.get(name).unavailable() in left_out[0]
        pytest.skip(left_out[0])


def test_eager_runs_the_very_module_without_gradients() -> None:
    target: Target = TARGETS.get("cpu_eager")(batch=3, threads=1)
    seen = []

    class Probe(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((tuple(x.shape), x.std().item(), self.training, torch.is_inference_mode_enabled()))
            return x

    run = target.prepare(Probe(), (2, 8, 8))
    with torch.inference_mode():
        run()
        run()
    (shape, std, training, inference), again = seen
    assert (shape, std) == again[:2]
    assert shape == (3, 2, 8, 8)
    assert std == pytest.approx(1.0, abs=0.2)
    assert not training
    assert inference


def test_the_label_of_eager_holds_the_version_that_brings_the_kernels() -> None:
    label = TARGETS.get("cpu_eager")(batch=4, threads=2).describe()
    assert label["torch"] == torch.__version__


def test_preparing_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    TARGETS.get("cpu_eager")().prepare(torch.nn.ReLU(), (4,))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("options", [{"batch": 0}, {"threads": 0}, {"batch": -1}])
def test_sizes_below_one_are_refused(options: dict) -> None:
    name = next(iter(options))
    with pytest.raises(SettingError, match=rf"{name}: got {options[name]}; expected a whole number of at least 1"):
        TARGETS.get("cpu_eager")(**options)


def test_an_unknown_target() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cpu_eager'"):
        TARGETS.get("cpu-eager")
