"""Every design of the zoo as a file: both forms, with classes and without."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from export_designs import load_module

from gas.costs import cost, count_module, folded_count
from gas.exports import checker, export_design, module_source
from gas.space import bundled, load, load_space

NAMES = [name for name in bundled() if name.startswith("zoo/")]
# Layouts, foldings, pruning and shared parts between them; every pattern's own export is in its contract.
QUICK = [
    "zoo/hiera_tiny",
    "zoo/fastvit_t8",
    "zoo/efficientvit_m0",
    "zoo/swin_tiny",
    "zoo/supervit_deit_small_k05",
    "zoo/cmt_ti",
]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_the_file_builds_both_forms(name: str, tmp_path: Path) -> None:
    design = load(name)
    folded = folded_count(design)
    module = load_module(module_source(design, "net", folded=folded and folded.cost), "net", tmp_path)
    shape = (1, design.channels, design.resolution, design.resolution)
    with torch.device("meta"):
        whole, pooled = module.net(), module.net(num_classes=0)
    assert count_module(whole, shape).cost == cost(design)
    if folded is None:
        assert not hasattr(module, "fuse")
        return
    assert count_module(module.fuse(whole), shape).cost == folded.cost
    with torch.inference_mode():
        image = torch.zeros(shape, device="meta")
        features = pooled.eval()(image)
        assert module.fuse(pooled)(image).shape == features.shape
    assert features.shape[1] != 1000  # features, not scores


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_files_compute_what_the_design_does(name: str, tmp_path: Path) -> None:
    result = export_design(load(name), tmp_path)
    assert result.difference <= 1e-6
    assert (result.folded_difference is None) == (folded_count(load(name)) is None)
    assert (result.folded_difference or 0.0) <= 1e-4


SPACES = [name for name in bundled() if not name.startswith("zoo/")]


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_a_random_design_of_each_space_passes_in_every_format(space: str, tmp_path: Path, timm: ModuleType) -> None:
    (design,) = load_space(space).sample_feasible(1, seed=11)
    name = f"random_{design.id}"
    # In this process, where timm can be imported; experiments/exports does the same for many designs.
    result = export_design(design, tmp_path, name=name, formats=("all",), seconds=0.1, run=checker.check)
    assert result.checks.formats.keys() == {"timm", "onnx", "int8", "pt2"}
    assert max(gap for part, gap in result.checks.formats.items() if part != "int8") <= 1e-4
