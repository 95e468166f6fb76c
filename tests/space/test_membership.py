"""What is said of a design that is no member: the decision, what may stand there, the nearest of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gas.architecture import Architecture
from gas.errors import DesignError
from gas.space import SearchSpace, load_space, space_from_text

TEXT = """
name: small
input: {resolution: {choose: [32, 64]}}
stem: {pattern: conv_embed, kernel: 3, stride: 2, dim: {choose: [16, 24]}}
stages:
  - dim: {choose: [16, 24, 32]}
    blocks:
      - pattern: transformer
        depth: {range: [1, 30]}
        mixer:
          choose:
            - {pattern: mask_unit_attention, mask_unit: {choose: [2, 4]}, head_dim: 8}
            - {pattern: global_attention, head_dim: {choose: [8, 16]}}
        mlp: {pattern: mlp, ratio: {choose: [2, 3.5]}}
  - entry: q_pool
    dim: {choose: [32, 48, 64]}
    blocks:
      - {pattern: transformer, depth: 2, mixer: {pattern: global_attention, head_dim: 16}, mlp: {choose: [mlp, null]}}
head: {pattern: classifier, classes: 10}
rules: [stages.1.dim > stages.0.dim]
"""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return space_from_text(TEXT)


def member(space: SearchSpace) -> dict[str, Any]:
    wishes = {"stages[0].dim": 16, "stages[0].blocks[0].mixer": "mask_unit_attention"}
    made = space.realise(lambda decision, allowed: wishes.get(decision.path, allowed[0]))
    return made.architecture.to_dict()


def first(data: dict) -> dict:
    return data["stages"][0]["blocks"][0]


CASES = {
    "width": (
        lambda d: d["stages"][1].update(dim=100),
        "stages[1].dim: got 100; expected one of 32, 48, 64; nearest 64",
    ),
    "width, a tie": (
        lambda d: d["stages"][1].update(dim=40),
        "stages[1].dim: got 40; expected one of 32, 48, 64; nearest 32",
    ),
    "width that a rule bars": (
        lambda d: (d["stages"][0].update(dim=32), d["stages"][1].update(dim=32)),
        "stages[1].dim: got 32; expected one of 48, 64; nearest 48",
    ),
    "depth": (
        lambda d: first(d).update(depth=31),
        "stages[0].blocks[0].depth: got 31; expected one of 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ...; nearest 30",
    ),
    "depth without a choice": (
        lambda d: d["stages"][1]["blocks"][0].update(depth=3),
        "stages[1].blocks[0].depth: got 3; expected 2",
    ),
    "pattern": (
        lambda d: first(d).update(mixer={"pattern": "window_attention", "heads": 2, "window": 4}),
        "stages[0].blocks[0].mixer: got window_attention; expected one of global_attention, mask_unit_attention",
    ),
    "patterns before numbers": (
        lambda d: first(d).update(depth=31, mixer={"pattern": "window_attention", "heads": 2, "window": 4}),
        "stages[0].blocks[0].mixer: got window_attention; expected one of global_attention, mask_unit_attention",
    ),
    "option of a pattern, though another pattern has it": (
        lambda d: first(d)["mixer"].update(head_dim=16),
        "stages[0].blocks[0].mixer.head_dim: got 16; expected 8",
    ),
    "option left at its default": (
        lambda d: first(d)["mlp"].pop("ratio"),
        "stages[0].blocks[0].mlp.ratio: got 4.0; expected one of 2.0, 3.5; nearest 3.5",
    ),
    "option of which the space has the default": (
        lambda d: first(d).update(norm="batch"),
        "stages[0].blocks[0].norm: got batch; expected layer",
    ),
    "no pattern": (
        lambda d: first(d).update(mlp=None),
        "stages[0].blocks[0].mlp: got none; expected mlp",
    ),
    "no entry": (lambda d: d["stages"][1].pop("entry"), "stages[1].entry: got none; expected q_pool"),
    "an entry where there is none": (
        lambda d: d["stages"][0].update(entry={"pattern": "q_pool"}),
        "stages[0].entry: got q_pool; expected none",
    ),
    "stem": (lambda d: d["stem"].update(dim=20), "stem.dim: got 20; expected one of 16, 24; nearest 16"),
    "stem pattern": (
        lambda d: d.update(stem={"pattern": "conv_stem", "dim": 16, "strides": [2, 2]}),
        "stem: got conv_stem; expected conv_embed",
    ),
    "input": (lambda d: d["input"].update(resolution=48), "input.resolution: got 48; expected one of 32, 64; nearest"),
    "channels": (lambda d: d["input"].update(channels=1), "input.channels: got 1; expected 3"),
    "head": (lambda d: d["head"].update(classes=1000), "head.classes: got 1000; expected 10"),
    "stages": (lambda d: d["stages"].pop(), "stages: got 1; expected 2"),
    "block groups": (
        lambda d: d["stages"][1]["blocks"].append(d["stages"][1]["blocks"][0]),
        "stages[1].blocks: got 2 block groups; expected 1",
    ),
    # As many pieces as the space has, cut in other places.
    "stages and groups": (
        lambda d: d.update(stages=[{**d["stages"][0], "blocks": [first(d)] * 3}]),
        "stages: got 1; expected 2",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_which_decision_departs_and_what_is_nearest(name: str, space: SearchSpace) -> None:
    change, said = CASES[name]
    assert_told(space, member(space), change, said)


def assert_told(space: SearchSpace, data: dict, change: Callable[[dict], Any], said: str) -> None:
    assert Architecture.from_dict(data) in space
    change(data)
    design = Architecture.from_dict(data)
    assert design not in space
    with pytest.raises(DesignError) as caught:
        space.decode(design)
    assert str(caught.value).startswith(said), str(caught.value)


@pytest.mark.slow
def test_lists_are_told_as_lists() -> None:
    space = load_space("efficientvit.yaml")
    data = space.sample(1, 0)[0].to_dict()
    assert_told(space, data, lambda d: d["stem"].update(strides=[2, 2]), "stem.strides: got [2, 2]; expected [")


@pytest.mark.parametrize("name", ["tiny.yaml", "turbovit.yaml", pytest.param("hybrid.yaml", marks=pytest.mark.slow)])
def test_one_value_changed_is_told_by_its_place(name: str) -> None:
    """Whatever number of a member is changed to what nothing allows, the message begins with its path."""
    space = load_space(name)
    for design in space.sample(3, 5):
        for path, value in design.walk():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            data = design.to_dict()
            holder, key = _holder(data, path)
            holder[key] = 7919
            with pytest.raises(DesignError) as caught:
                space.decode(Architecture.from_dict(data))
            if "[" not in path.rpartition(".")[2]:
                assert str(caught.value).startswith(f"{path}: got 7919; expected ")


def _holder(data: Any, path: str) -> tuple[Any, Any]:
    steps = [int(s) if s.isdigit() else s for s in path.replace("[", ".").replace("]", "").split(".")]
    for step in steps[:-1]:
        data = data[step]
    return data, steps[-1]
