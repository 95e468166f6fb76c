"""The commands on designs of the zoo, and on designs that fold for inference."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from export_designs import folding

import gas
from gas.cli import main
from gas.costs import folded_count
from gas.exports.design_file import design_text


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable:
    """Runs a command in a folder of its own that holds folding.yaml: its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    Path("folding.yaml").write_text(design_text(folding(), "folding"))

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        return code, out, err

    return run


def test_the_zoo_in_every_form(call) -> None:
    code, text, _ = call("zoo")
    assert code == 0
    rows = json.loads(call("zoo", "--json")[1])
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(rows)]] == [row["name"] for row in rows]
    assert lines[0].split()[:3] == ["name", "params", "macs"]
    table = list(csv.DictReader(io.StringIO(call("zoo", "--csv", "-")[1])))
    assert [int(row["macs"]) for row in table] == [row["macs"] for row in rows]
    assert call("zoo", "--csv", "zoo.csv")[1] == "wrote zoo.csv\n"
    assert list(csv.DictReader(io.StringIO(Path("zoo.csv").read_text()))) == table


def test_a_part_of_the_zoo_sorted(call) -> None:
    rows = json.loads(call("zoo", "zoo/hiera", "--sort", "macs", "--json")[1])
    assert [row["name"] for row in rows] == ["hiera_tiny", "hiera_small", "hiera_base"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("zoo", "hiera_tinny"), "zoo: got 'hiera_tinny'; expected a name of the zoo or a part of one; did you mean"),
        (("zoo", "zoo/hiera_tinny"), "did you mean 'hiera_tiny'?"),
        (("zoo", "--sort", "mcas"), "sort: got 'mcas'; expected one of name, params, macs, top1; did you mean 'macs'?"),
        (("zoo", "--csv", "no/folder"), "no/folder: cannot be written: No such file or directory"),
        (("zoo", "--csv"), "Option '--csv' requires an argument."),
        (("show", "zoo/hiera_tinny"), "bundled space or design of that name; did you mean 'zoo/hiera_tiny'?"),
        (("cost", "hiera_tinny"), "did you mean 'hiera_tiny'?"),
        (("export", "zoo/hiera_tinny", "--out", "out"), "did you mean 'zoo/hiera_tiny'?"),
        (("latency", "zoo/hiera_tinny"), "did you mean 'zoo/hiera_tiny'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(words: tuple, text: str, call) -> None:
    code, out, err = call(*words)
    (line,) = err.splitlines()
    assert (code, out) == (2, "")
    assert line.startswith("gas: ")
    assert text in line


@pytest.mark.parametrize("command", ["show", "cost", "check"])
def test_a_design_is_found_with_and_without_its_folder(command: str, call) -> None:
    with_folder, without = (call(command, name, "--json") for name in ("zoo/hiera_tiny", "hiera_tiny"))
    assert with_folder == without
    assert with_folder[0] == 0


def test_costs_say_what_folding_changes_and_where_it_changes_something(call) -> None:
    folded = folded_count(folding()).cost
    rows = json.loads(call("cost", "folding.yaml", "zoo/turbovit", "--json")[1])
    assert [(row["params_folded"], row["macs_folded"]) for row in rows] == [(folded.params, folded.macs), (None, None)]
    text = call("cost", "folding.yaml", "turbovit")[1]
    assert "params folded" in text
    assert text.count("folded: for inference") == 1
    assert "folded" not in call("cost", "turbovit")[1]


@pytest.mark.slow
def test_an_export_folds_unless_told_not_to(call) -> None:
    code, out, _ = call("export", "folding.yaml", "--out", "out")
    assert code == 0
    assert "folded for inference by its function load: outputs differ by " in out
    assert "def load(" in Path("out/folding.py").read_text()
    code, out, _ = call("export", "folding.yaml", "--out", "plain", "--no-fold")
    assert code == 0
    assert "folded" not in out
    assert "def load(" not in Path("plain/folding.py").read_text()
    assert "gas export folding.yaml --out plain --no-fold" in Path("plain/folding.md").read_text()


@pytest.mark.slow
def test_the_same_in_python(call) -> None:
    design = gas.load("folding.yaml")
    assert gas.export(design, "a").folded_difference is not None
    assert gas.export(design, "b", fold=False).folded_difference is None
