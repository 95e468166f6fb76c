"""What is wrong with a design is said where it stands: `file:line:col: path: got X; expected Y`, in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gas.cli import main
from gas.errors import SpaceError
from gas.space import load, load_space

DESIGN = """\
input: {resolution: 224}
stem: {pattern: conv_stem, dim: 32, strides: [2, 2]}
stages:
  - dim: 32
    blocks:
      - {pattern: transformer, depth: 1, mixer: {pattern: mask_unit_attention, heads: 4, mask_unit: 8}}
  - entry: conv_downsample
    dim: 64
    blocks:
      - {pattern: transformer, depth: 1, mixer: {pattern: global_attention, heads: 4}, norm: layer}
head: {pattern: classifier, classes: 10}
"""
FORM = re.compile(r"bad\.yaml:(\d+):(\d+): [\w.\[\]]+: got .+; expected .+")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spoilt(was: str, now: str) -> str:
    assert DESIGN.count(was) == 1, was
    return DESIGN.replace(was, now)


def test_the_design_itself_is_fine(folder: Path) -> None:
    (folder / "bad.yaml").write_text(DESIGN)
    assert load("bad.yaml").dims == (32, 64)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        # the design cannot stand
        ("heads: 4, m", "heads: 5, m", "6:87: stages[0].blocks[0].mixer.heads: got 5; expected a divisor of"),
        ("heads: 4}", "heads: 7}", "10:84: stages[1].blocks[0].mixer.heads: got 7; expected a divisor of the width 64"),
        ("dim: 64", "dim: 66", "10:84: stages[1].blocks[0].mixer.heads: got 4; expected a divisor of the width 66"),
        ("224", "30", "2:46: stem.strides: got [2, 2]; expected steps that divide the resolution 30"),
        ("224", "220", "6:101: stages[0].blocks[0].mixer.mask_unit: got 8, which does not divide the grid's"),
        # lists
        ("[2, 2]", "'2 2'", "2:46: stem.strides: got '2 2'; expected a list such as [1, 2]"),
        ("[2, 2]", "2", "2:46: stem.strides: got 2; expected a list such as [1, 2]"),
        ("[2, 2]", "[2, two]", "2:46: stem.strides: got [2, 'two']; expected a valid integer at [1]"),
        ("[2, 2]", "[2.5, 2]", "2:46: stem.strides: got [2.5, 2]; expected a valid integer at [0]"),
        ("[2, 2]", "[]", "2:46: stem.strides: got []; expected a list of 1 or more"),
        ("[2, 2]", "[2, 0]", "2:46: stem.strides: got [2, 0]; expected whole numbers of at least 1"),
        ("[2, 2]", "{choose: [[2, 2], [x]]}", "2:64: stem.strides.choose[1]: got ['x']; expected a valid integer"),
        # what may not be left empty
        ("[2, 2]", "null", "2:46: stem.strides: got None; expected a list such as [1, 2]"),
        ("{pattern: conv_stem, dim: 32, strides: [2, 2]}", "null", "2:7: stem: got None; expected a stem pattern"),
        ("{pattern: classifier, classes: 10}", "null", "11:7: head: got None; expected a head pattern"),
        ("norm: layer", "norm: null", "10:94: stages[1].blocks[0].norm: got None; expected 'layer', 'batch',"),
        ("mask_unit: 8", "mask_unit: null", "6:101: stages[0].blocks[0].mixer.mask_unit: got None; expected a valid"),
        (
            "mixer: {pattern: global_attention, heads: 4}",
            "mixer: null, mlp: null",
            "10:49: stages[1].blocks[0].mixer: got neither a token mixer nor a channel mixer; expected at least one",
        ),
        # names
        ("norm: layer", "norm: lyer", "10:94: stages[1].blocks[0].norm: got 'lyer'; expected 'layer', 'batch',"),
        ("global_attention", "glbal_attention", "10:59: stages[1].blocks[0].mixer.pattern: got 'glbal_attention';"),
        ("strides", "stridse", "2:37: stem.stridse: got 'stridse'; expected one of pattern, dim, strides"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["check", "show"])
def test_it_is_said_where_it_stands(
    command: str, was: str, now: str, said: str, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    (folder / "bad.yaml").write_text(spoilt(was, now))
    assert main([command, "bad.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert f"gas: bad.yaml:{said}" in lines[0]
    assert all(FORM.fullmatch(line.removeprefix("gas: ")) for line in lines)


@pytest.mark.parametrize("name", ["hiera_tinny", "zoo/hiera_tinny", "zoo/hiera_tinny.yaml"])
@pytest.mark.parametrize("read", [load, load_space])
def test_a_mistyped_name_of_the_zoo_says_the_nearest_as_it_was_written(name: str, read) -> None:
    with pytest.raises(SpaceError) as caught:
        read(name)
    near = "zoo/hiera_tiny" if "/" in name else "hiera_tiny"
    assert str(caught.value).endswith(f"; did you mean {near!r}?")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare: [zoo/hiera_tinny]", "12:11: compare[0]: zoo/hiera_tinny: no such file, and no bundled"),
        ("constraints: {latency: {max: 1.0, of: shvit_s9}}", "12:39: constraints.latency.of: shvit_s9: no such file"),
    ],
)
def test_a_mistyped_reference_says_where_it_stands(line: str, said: str, folder: Path) -> None:
    (folder / "bad.yaml").write_text(f"{DESIGN}{line}\n")
    with pytest.raises(SpaceError, match="did you mean") as caught:
        load_space("bad.yaml")
    assert str(caught.value).startswith(f"bad.yaml:{said}")
