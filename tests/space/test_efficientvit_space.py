"""EfficientViT's search space: its published members, and what its other designs cost and compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gas.architecture import Architecture
from gas.costs import traced_count
from gas.model import build
from gas.plan import plan
from gas.space import SearchSpace, bundled, load, load_space

# Per variant: widths, depths, heads, and the first head's kernel (7 stands for 7, 5, 3, 3; 5 for 5 four times).
PUBLISHED = {
    "efficientvit_m0": ((64, 128, 192), (1, 2, 3), (4, 4, 4), 5),
    "efficientvit_m1": ((128, 144, 192), (1, 2, 3), (2, 3, 3), 7),
    "efficientvit_m2": ((128, 192, 224), (1, 2, 3), (4, 3, 2), 7),
    "efficientvit_m3": ((128, 240, 320), (1, 2, 3), (4, 3, 4), 5),
    "efficientvit_m4": ((128, 256, 384), (1, 2, 3), (4, 4, 4), 7),
    "efficientvit_m5": ((192, 288, 384), (1, 3, 4), (3, 3, 4), 7),
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("efficientvit")


def at(resolution: int, folder: Path) -> SearchSpace:
    """The space for another image size."""
    text = Path(bundled()["efficientvit"]).read_text(encoding="utf-8")
    assert text.count("resolution: 224") == 1
    path = folder / f"efficientvit_{resolution}.yaml"
    path.write_text(text.replace("resolution: 224", f"resolution: {resolution}"), encoding="utf-8")
    return load_space(path)


def decisions(dims: tuple, depths: tuple, heads: tuple, kernel: int) -> dict[str, Any]:
    """What the file must decide for a published design."""
    found: dict[str, Any] = {}
    for i, (dim, depth, number) in enumerate(zip(dims, depths, heads, strict=True)):
        found["stem.dim" if i == 0 else f"stages[{i}].dim"] = dim
        block = {"depth": depth, "mlp.ratio": 2, "pairs": 1, "mixer.heads": number, "mixer.key_dim": 16}
        block["mixer.kernels"] = (7, 5, 3, 3) if kernel == 7 else (5, 5, 5, 5)
        found |= {f"stages[{i}].blocks[0].{name}": value for name, value in block.items()}
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_designs_are_members(space: SearchSpace, name: str) -> None:
    expected = decisions(*PUBLISHED[name])
    assert load(name) in space
    assert space.decode(load(name)) == expected
    made = space.realise(lambda d, allowed: expected[d.path])  # within the bounds on params and macs, too
    assert made.architecture.id == load(name).id


def test_the_bounds_are_those_of_the_largest_published_design(space: SearchSpace) -> None:
    largest = plan(load("efficientvit_m5")).cost
    limits = {c.metric: c.high for c in space.budgets}
    assert largest.params <= limits["params"] <= 1.01 * largest.params
    assert largest.macs <= limits["macs"] <= 1.01 * largest.macs


def runs(design: Architecture) -> None:
    """Its cost is the traced one; scores and gradients are finite."""
    assert plan(design).cost == traced_count(design).cost
    model = build(design, classes=3, seed=0)
    images = torch.randn(2, 3, design.resolution, design.resolution, generator=torch.Generator().manual_seed(0))
    scores = model(images)
    assert scores.shape == (2, 3)
    assert scores.isfinite().all()
    scores.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.slow
def test_random_designs_cost_what_is_traced_and_run(space: SearchSpace) -> None:
    for design in space.sample(6, seed=0):
        runs(design)


@pytest.mark.slow
def test_at_256_pixels_windows_are_padded_and_the_designs_run_all_the_same(tmp_path: Path) -> None:
    for design in at(256, tmp_path).sample(2, seed=0):
        assert [end.grid for end in plan(design).ends] == [(16, 16), (8, 8), (4, 4)]
        runs(design)


@pytest.mark.slow
@pytest.mark.parametrize(("resolution", "seed"), [(192, 1), (224, 1), (224, 2), (224, 3), (256, 1), (288, 1)])
def test_many_random_designs_cost_what_is_traced_and_run(resolution: int, seed: int, tmp_path: Path) -> None:
    designs = at(resolution, tmp_path).sample(50, seed=seed)
    assert len({design.id for design in designs}) == 50
    for design in designs:
        runs(design)
