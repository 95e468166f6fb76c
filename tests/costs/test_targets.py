from __future__ import annotations

import json

import pytest
import torch
from hiera_parity import tiny

from gas.costs import TARGETS, Target
from gas.errors import SettingError, UnknownNameError
from gas.model import build

NAMES = list(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_runs_the_module_on_its_batch(name: str) -> None:
    target: Target = TARGETS.get(name)(batch=3, threads=1)
    seen = []

    class Probe(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((tuple(x.shape), x.std().item(), self.training, torch.is_inference_mode_enabled()))
            return x

    run = target.prepare(Probe(), (2, 8, 8))
    seen.clear()  # a target may run the module to prepare it
    with torch.inference_mode():
        run()
        run()
    (shape, std, training, inference), again = seen
    assert (shape, std) == again[:2]
    assert shape == (3, 2, 8, 8)
    assert std == pytest.approx(1.0, abs=0.2)
    assert not training
    assert inference


@pytest.mark.parametrize("name", NAMES)
def test_a_target_runs_whole_designs(name: str) -> None:
    run = TARGETS.get(name)().prepare(build(tiny(), seed=0), (3, 32, 32))
    with torch.inference_mode():
        assert run().shape == (1, 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_label_holds_what_latencies_must_not_be_compared_across(name: str) -> None:
    label = TARGETS.get(name)(batch=4, threads=2).describe()
    assert (label["target"], label["batch"], label["threads"]) == (name, 4, 2)
    assert label["cpu"]
    assert label["torch"] == torch.__version__
    assert json.loads(json.dumps(label)) == label


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
