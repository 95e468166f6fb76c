"""The bundled files, the designs that are members of them, and finding files by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError, SpaceError
from gas.plan import plan
from gas.space import SearchSpace, bundled, design_from_text, load, load_space

SPACES = sorted(name for name in bundled() if not name.startswith("zoo/"))
ZOO = sorted(name for name in bundled() if name.startswith("zoo/"))


def cost(design: Architecture) -> tuple[int, int]:
    found = plan(design).cost
    return found.macs, found.params


@pytest.fixture(scope="module")
def turbovit() -> SearchSpace:
    return load_space("turbovit")


WIDE64 = Architecture(
    Spec.of("conv_embed", dim=64),
    tuple(
        Stage(dim, (Group(Spec.of("transformer", mixer=Spec.of(mixer, head_dim=64)), depth),), entry and Spec.of(entry))
        for dim, depth, mixer, entry in [
            (64, 1, "mask_unit_attention", None),
            (128, 2, "mask_unit_attention", "q_pool"),
            (256, 7, "global_attention", "q_pool"),
            (512, 2, "global_attention", "q_pool"),
        ]
    ),
    Spec.of("classifier"),
)


def decisions_of(stem: int, dims: tuple, depths: tuple, head_dim: int) -> dict[str, Any]:
    """What turbovit.yaml must decide for a Hiera-like design: units of 8 in two stages, then global attention."""
    found: dict[str, Any] = {"stem.dim": stem}
    for i, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
        block = f"stages[{i}].blocks[0]"
        found |= {f"stages[{i}].dim": dim, f"{block}.depth": depth, f"{block}.mlp.ratio": 4}
        found |= {f"{block}.mixer.head_dim": head_dim}
        if i < 3:
            found |= {f"{block}.mixer": "global_attention" if i == 2 else "mask_unit_attention"}
        if i < 2:
            found |= {f"{block}.mixer.mask_unit": 8}
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hiera_tiny", decisions_of(96, (96, 192, 384, 768), (1, 2, 7, 2), 96)),
        ("hiera_small", decisions_of(96, (96, 192, 384, 768), (1, 2, 11, 2), 96)),
        ("hiera_base", decisions_of(96, (96, 192, 384, 768), (2, 3, 16, 3), 96)),
        ("zoo/turbovit", decisions_of(96, (64, 128, 256, 512), (1, 2, 8, 2), 64)),
        ("64 wide", decisions_of(64, (64, 128, 256, 512), (1, 2, 7, 2), 64)),
    ],
)
def test_the_published_designs_are_members_of_turbovit(turbovit: SearchSpace, name: str, expected: dict) -> None:
    design = WIDE64 if name == "64 wide" else load(name)
    assert design in turbovit
    assert turbovit.decode(design) == expected
    made = turbovit.realise(lambda d, allowed: expected[d.path], feasible=False)
    assert made.architecture.id == design.id


def test_the_constraints_of_turbovit_leave_the_published_designs_out(turbovit: SearchSpace) -> None:
    limits = {c.metric: c.high for c in turbovit.budgets}
    assert limits == {"params": 12.7e6, "macs": 2.2e9}
    for name in ZOO:
        if load(name) in turbovit:
            assert cost(load(name))[1] > limits["params"], name
            assert cost(load(name))[0] > limits["macs"], name


def test_the_64_wide_variant_has_the_papers_params_and_is_over_its_macs_by_a_little(turbovit: SearchSpace) -> None:
    macs, params = cost(WIDE64)
    assert (macs, params) == (2_246_038_528, 12_659_752)
    assert params <= 12.7e6
    assert 2.2e9 < macs < 2.2e9 * 1.03


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["stem"].update(dim=100), "stem.dim: got 100; expected one of 32, 48, 64, 80, 96, 128; nearest 96"),
        (lambda d: d["stages"][1].update(dim=100), "stages[1].dim: got 100; expected one of 128, 160, 192, 256; nea"),
        (lambda d: d["stages"][2]["blocks"][0].update(depth=99), "stages[2].blocks[0].depth: got 99; expected one of"),
        (lambda d: d["stages"].pop(), "stages: got 3; expected 4"),
        (lambda d: d["head"].update(classes=7), "head.classes: got 7; expected 1000"),
        (lambda d: d["input"].update(resolution=256), "input.resolution: got 256; expected 224"),
    ],
)
def test_what_is_no_member_says_where_it_departs(turbovit: SearchSpace, change: Callable, said: str) -> None:
    data = load("hiera_tiny").to_dict()
    change(data)
    design = Architecture.from_dict(data)
    assert design not in turbovit
    with pytest.raises(DesignError) as caught:
        turbovit.decode(design)
    assert str(caught.value).startswith(said)


def test_what_is_no_design_is_no_member(turbovit: SearchSpace) -> None:
    assert "hiera_tiny" not in turbovit
    assert None not in turbovit


@pytest.mark.parametrize("name", [*SPACES, *ZOO])
def test_a_design_written_out_is_the_same_design(name: str) -> None:
    for design in load_space(name).sample(3, seed=2):
        again = design_from_text(yaml.safe_dump(design.to_dict()))
        assert again.id == design.id
        assert again == design


@pytest.mark.parametrize("name", ZOO)
def test_zoo_files_are_designs(name: str) -> None:
    assert load(name) == load(name.removeprefix("zoo/")) == load_space(name).sample(1)[0]


def test_a_space_is_no_design() -> None:
    with pytest.raises(SpaceError, match=r"got a search space with 11 decisions .*; expected a single design"):
        load(bundled()["tiny"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinny", "tinny: no such file, and no bundled space or design of that name; did you mean 'tiny'?"),
        ("zoo/hiera_tinny.yaml", "did you mean 'zoo/hiera_tiny'?"),
        ("qqqqqqqqqqqq", "no bundled space or design of that name"),
        ("", "got a folder; expected a YAML file"),
        ("a" * 5000, "no such file"),
        ("a\x00b", "no such file"),
    ],
)
def test_a_name_that_means_nothing_says_the_nearest(name: str, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(name)
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: caf\u00e9".encode("latin-1"))
    with pytest.raises(SpaceError, match=r"latin\.yaml: cannot be read: it is not UTF-8 text"):
        load_space(tmp_path / "latin.yaml")
    with pytest.raises(SpaceError, match="got a folder; expected a YAML file"):
        load_space(tmp_path)


def test_a_path_wins_over_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(WIDE64.to_dict()), encoding="utf-8")
    assert load_space("tiny.yaml").size() == 1
    assert load_space("tiny").size() == 32_076
