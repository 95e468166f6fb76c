"""hybrid.yaml: every mixer of the zoo is in it, and whatever it mixes can be built, counted and trained."""

from __future__ import annotations

import pytest
import torch

from gas.architecture import Architecture, Spec
from gas.costs import traced_count
from gas.errors import SpaceError
from gas.model import build
from gas.patterns import PATTERNS
from gas.plan import plan
from gas.space import load_space, space_from_text
from gas.space.files import find

# At each resolution a side of window that divides the grids of the first three stages.
WINDOWS = {192: 6, 256: 8, 288: 9}


def at(resolution: int, window: int) -> str:
    """The file's text for another resolution."""
    text = find("hybrid.yaml").read_text(encoding="utf-8")
    assert text.count("resolution: 224") == 1
    assert text.count("window: 7") == 1
    return text.replace("resolution: 224", f"resolution: {resolution}").replace("window: 7", f"window: {window}")


def mixers(design: Architecture) -> set[str]:
    """Patterns in the blocks of a design."""
    found: set[str] = set()
    todo = [group.block for stage in design.stages for group in stage.blocks]
    while todo:
        spec = todo.pop()
        found.add(spec.pattern)
        todo += [value for _, value in spec.items if isinstance(value, Spec)]
    return found


def check(design: Architecture) -> None:
    """Cost by formula and by trace; finite scores and gradients."""
    assert plan(design).cost == traced_count(design).cost
    model = build(design, classes=4, seed=0).train()
    images = torch.randn(2, 3, design.resolution, design.resolution, generator=torch.Generator().manual_seed(0))
    scores = model(images)
    assert scores.shape == (2, 4)
    assert scores.isfinite().all()
    torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_every_mixer_of_the_zoo_is_in_every_stage() -> None:
    space = load_space("hybrid.yaml")
    offered = {d.path: set(d.choices) for d in space.decisions}
    kinds = {
        kind: {name for name in PATTERNS if PATTERNS.get(name).kind == kind}
        for kind in ("token_mixer", "channel_mixer")
    }
    for stage in range(4):
        # On the 7 x 7 tokens of the last stage a mask unit would hold one token, and a window all of them.
        small = {"mask_unit_attention", "window_attention"} if stage == 3 else set()
        assert offered[f"stages[{stage}].blocks[0].mixer"] == kinds["token_mixer"] - small
        assert offered[f"stages[{stage}].blocks[0].mlp"] == kinds["channel_mixer"]


@pytest.mark.parametrize("count", [2, pytest.param(300, marks=pytest.mark.slow)])
def test_random_designs_are_built_counted_and_trained(count: int) -> None:
    designs = load_space("hybrid.yaml").sample(count, seed=1, feasible=True)
    for design in designs:
        check(design)
    if count >= 300:
        used = set().union(*map(mixers, designs))
        every = {name for name in PATTERNS if PATTERNS.get(name).kind in ("token_mixer", "channel_mixer")}
        assert every <= used


@pytest.mark.slow
@pytest.mark.parametrize("resolution", WINDOWS)
def test_other_resolutions(resolution: int) -> None:
    space = space_from_text(at(resolution, WINDOWS[resolution]), "hybrid.yaml", folder=find("hybrid.yaml").parent)
    for design in space.sample(20, seed=2, feasible=True):
        check(design)


def test_a_window_that_does_not_fit_the_resolution_is_said_at_load() -> None:
    with pytest.raises(SpaceError) as caught:
        space_from_text(at(256, 7), "hybrid.yaml", folder=find("hybrid.yaml").parent)
    assert len(caught.value.problems) == 3
    for number, problem in enumerate(caught.value.problems):
        path = f"stages[{number}].blocks[0].mixer"
        assert f"{path}: no design can use 'window_attention': {path}.window: got 7; expected" in problem
