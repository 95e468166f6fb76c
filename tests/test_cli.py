"""The command line: every command on good input, and on bad input of every kind. Most run in this process."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from small_search import REFERENCE, SPACE, quick_proxy, told, written

import gas
from gas.cli import GENERATOR, cli, designs_of, main
from gas.cli import GENERATORS as GENERATOR_NAMES
from gas.errors import SettingError
from gas.evaluation import Status
from gas.generators import GENERATORS
from gas.settings import Settings

FIDELITY = "resolution=32,batch=4,seeds=1"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test in a folder of its own, with a space and a design in it."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    written(tmp_path, "reference.yaml", REFERENCE)
    with quick_proxy():
        yield tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by the command itself, over tiny.yaml, with a real proxy."""
    out = tmp_path_factory.mktemp("finished") / "run"
    words = [
        "search",
        "--generator",
        "evolution",
        "--space",
        "tiny.yaml",
        "--budget",
        "8",
        "--workers",
        "1",
        "--proxy",
        "pca_count",
    ]
    assert main([*words, "--fidelity", FIDELITY, "--out", str(out), "--quiet"]) == 0
    return out


@pytest.fixture
def run(finished: Path, here: Path) -> str:
    shutil.copytree(finished, here / "run")
    return "run"


class Result:
    """What a call of the command printed and returned."""

    def __init__(self, words: tuple, capsys: pytest.CaptureFixture) -> None:
        capsys.readouterr()
        self.code = main([str(word) for word in words])
        self.out, self.err = capsys.readouterr()
        assert "\x1b" not in self.out + self.err
        assert "Traceback" not in self.out + self.err


@pytest.fixture
def call(capsys: pytest.CaptureFixture):
    return lambda *words: Result(words, capsys)


def refused(result: Result) -> str:
    """The one line that a refusal consists of."""
    assert result.code == 2, result.out + result.err
    (line,) = result.err.splitlines()
    assert line.startswith("gas: ")
    return line.removeprefix("gas: ")


# Good input


def test_a_search_ends_with_the_front_the_choice_and_the_files(call) -> None:
    words = ("--budget", 8, "--workers", 1, "--proxy", "quick", "--compare", "reference.yaml", "--option", "start=4")
    result = call("search", "--generator", "evolution", "--space", "small.yaml", *words)
    assert result.code == 0
    run = gas.open_run("runs/small")
    assert run.settings.generator_options == {"start": 4}
    best = run.architecture("best")
    front = run.front()
    for id in front["id"]:
        assert id in result.out
    for part in ("Pareto front", "beside the reference designs", "the budget is spent", f"chosen: {best.id}"):
        assert part in result.out
    for name in ("archive.sqlite", "front.csv", "front.png", "references.json", "run.json", "space.yaml"):
        assert f"wrote runs/small/{name}\n" in result.out
        assert Path("runs/small", name).stat().st_size > 0
    assert "gas show runs/small best; gas export runs/small best --out out" in result.out
    assert result.err.splitlines()[-1].startswith("8/8 candidates")


def test_a_search_in_json_and_resumed_where_it_exists(call) -> None:
    words = (
        "search",
        "--generator",
        "evolution",
        "--space",
        "small.yaml",
        "--out",
        "a",
        "--workers",
        1,
        "--proxy",
        "quick",
        "--json",
        "--quiet",
    )
    first = call(*words, "--budget", 3, "--resume-if-exists")
    assert first.err == ""
    (facts,) = json.loads(first.out)
    run = gas.open_run("a")
    assert facts["ended"] == "budget"
    assert facts["front"] == list(run.front()["id"])
    assert facts["chosen"] == run.architecture("best").id
    (again,) = json.loads(call(*words, "--budget", 5, "--resume-if-exists").out)
    assert again["candidates"] == 5
    (resumed,) = json.loads(call("search", "--resume", "a", "--budget", 7, "--json", "--time", "none").out)
    assert resumed["candidates"] == 7
    assert gas.open_run("a").settings.seconds is None


@pytest.mark.slow
def test_a_search_on_two_ray_workers_ends_well(here: Path) -> None:
    words = [
        "search",
        "--generator",
        "evolution",
        "--space",
        "tiny.yaml",
        "--budget",
        "6",
        "--workers",
        "2",
        "--proxy",
        "pca_count",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "gas.cli", *words, "--fidelity", FIDELITY, "--out", "a"],
        env=os.environ | {"PYTHONPATH": str(Path(gas.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "6 candidates (6 ok)" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert {line.partition(" ")[0].partition("/")[2] for line in done.stderr.splitlines()} == {"6"}
    rows = told(here / "a")
    assert sorted(number for number, *_ in rows) == list(range(6))
    assert {status for *_, status, _ in rows} == {Status.OK}
    workers = set(gas.open_run("a").frame()["worker"])
    assert 1 <= len(workers) <= 2
    assert f":{os.getpid()}" not in "".join(workers)


def test_front_in_every_form(call, run: str) -> None:
    frame = gas.open_run(run).front()
    text = call("front", run).out
    assert [line.split()[0] for line in text.splitlines()[2:-1]] == list(frame["id"])
    assert "macs: multiply-adds" in text
    rows = json.loads(call("front", run, "--json").out)
    assert [row["macs"] for row in rows] == list(frame["macs"])
    table = list(csv.DictReader(io.StringIO(call("front", run, "--csv").out)))
    assert [float(row["pca_count"]) for row in table] == list(frame["pca_count"])
    assert len(json.loads(call("front", run, "--json", "--all").out)) == 8
    drawn = call("front", run, "--plot", "f.png", "--json")
    assert json.loads(drawn.out) == rows
    assert drawn.err == "wrote f.png\n"
    assert Path("f.png").read_bytes().startswith(b"\x89PNG")


def test_show_and_cost_take_any_design(call, run: str) -> None:
    best = gas.open_run(run).architecture("best")
    words = ("reference.yaml", run, "best", run, "3", "hiera_tiny")
    text = call("show", *words).out
    assert text.count("total") == 4
    assert best.id in text
    rows = json.loads(call("show", *words, "--json").out)
    assert list(dict.fromkeys(row["design"] for row in rows))[::3] == ["reference", "hiera_tiny"]
    costs = json.loads(call("cost", *words, "--json").out)
    assert [row["params"] for row in costs] == [gas.cost(design).params for design in designs_of(words)]
    for cost in costs:
        assert sum(row["params"] for row in rows if row["id"] == cost["id"]) == cost["params"]
    assert len(call("cost", *words, "--csv").out.splitlines()) == 5
    (traced,) = json.loads(call("cost", "reference.yaml", "--trace", "--json").out)
    assert traced["macs_traced"] == traced["macs"]
    assert traced["params_traced"] == traced["params"]
    fvcore = traced["macs_fvcore"] - traced["fvcore_norms"] + traced["fvcore_lacks_attention"]
    assert fvcore == traced["macs"]


def test_latency_of_two_designs(call, run: str) -> None:
    words = ("latency", "reference.yaml", run, "best", "--seconds", 0.3)
    rows = json.loads(call(*words, "--batch", "1,2", "--json").out)
    assert [(row["name"], row["batch"]) for row in rows[::2]] == [("reference", 1), ("reference", 2)]
    for first, second in (rows[:2], rows[2:]):
        assert first["ratio"] == 1.0
        assert second["ratio_low"] <= second["ratio"] <= second["ratio_high"]
        assert second["latency_ms_q1"] <= second["latency_ms"] <= second["latency_ms_q3"]
    assert "reference" in call(*words).out


def test_the_best_design_of_a_run_is_exported_and_runs_without_gas(call, run: str, here: Path) -> None:
    result = call("export", run, "best", "--out", "out", "--name", "mine")
    assert result.code == 0
    assert f"chosen: {gas.open_run(run).architecture('best').id}" in result.out
    assert "checked in a fresh process without gas" in result.out
    assert sorted(path.suffix for path in Path("out").iterdir()) == [".md", ".py", ".safetensors", ".yaml"]
    assert "gas export run best --out out" in Path("out/mine.md").read_text()
    assert refused(call("export", run, "best", "--out", "out", "--name", "mine")).endswith("or overwrite")
    assert call("cost", "out/mine.yaml").code == 0


def test_check_and_schema(call) -> None:
    assert "designs      30" in call("check", "small.yaml").out
    (facts,) = json.loads(call("check", "tiny.yaml", "--json", "--designs", 2).out)
    assert len(facts["examples"]) == 2
    assert json.loads(call("schema").out)["$defs"]
    assert call("schema", "--out", "s.json").out == "wrote s.json\n"
    assert json.loads(Path("s.json").read_text()) == json.loads(call("schema").out)


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in cli.commands)])
def test_help_fits_the_screen_and_ends_well(words: list[str], call) -> None:
    result = call(*words)
    assert result.code == 0
    assert result.out
    lines = [line for line in result.out.splitlines() if not line.startswith("Usage: ")]
    assert not [line for line in lines if len(line) > 110 or line.endswith("...")]


def test_every_command_stands_under_one_heading() -> None:
    listed = [name for names in cli.headings.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(cli.commands) <= set(listed)
    shown = [line.split()[0] for line in cli.get_help(click.Context(cli)).splitlines() if re.match("  [a-z]", line)]
    assert [name for name in listed if name in cli.commands] == [name for name in shown if name in cli.commands]


def test_the_program_alone_prints_its_help(call) -> None:
    result = call()
    assert result.code == 2
    assert result.err == call("--help").out


def test_the_help_of_search_names_the_generators_and_the_defaults(call) -> None:
    assert sorted(GENERATOR_NAMES) == GENERATORS.names()
    assert Settings().generator == GENERATOR
    text = " ".join(call("search", "--help").out.split())
    assert f"{', '.join(GENERATOR_NAMES)} [default: {GENERATOR}]" in text


def test_a_search_from_a_design_for_a_utility(call) -> None:
    words = ("--budget", 4, "--workers", 1, "--proxy", "quick", "--utility", "proxy - log10(params)", "--seed", 2)
    first = call("search", "--generator", "evolution", "--space", "small.yaml", "--out", "a", *words, "--quiet")
    assert first.code == 0
    assert "Best utility" in first.out
    again = call(
        "search",
        "--generator",
        "evolution",
        "--space",
        "small.yaml",
        "--out",
        "b",
        *words,
        "--quiet",
        "--from",
        "a:best",
        "--from",
        "a:0",
    )
    assert again.code == 0
    assert "wrote b/prototypes.json" in again.out
    run = gas.open_run("b")
    assert list(run.frame()["origin"])[:1] == ["a:best"]
    assert run.settings.prototypes == ("a:best", "a:0")
    (row,) = json.loads(call("front", "b", "--json").out)
    assert {"utility", "quick", "params", "macs"} <= row.keys()


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, gas.cli; gas.cli.main(['--help']); print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(gas.__file__).parents[1], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert not {"torch", "ray", "pandas", "numpy", "scipy", "optuna", "sklearn", "matplotlib", "pydantic"} & loaded


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys, gas.cli; sys.exit(gas.cli.main(['cost', 'hiera_tiny']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(gas.__file__).parents[1],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert errors == ""


# Bad input

BAD_FILES = {
    "empty.yaml": ("", "empty.yaml:1:1: the file is empty; expected input, stem, stages and head"),
    "broken.yaml": ("stem: {a: [1\n", "broken.yaml:"),
    "binary.yaml": ("\x00\x01", "binary.yaml"),
    "pattern.yaml": (SPACE.replace("pattern: transformer, ", "pattern: transfromer, "), "did you mean 'transformer'"),
    "key.yaml": (SPACE.replace("head:", "heat:"), "did you mean 'head'"),
    "bound.yaml": (SPACE + "constraints: {params: {max: 10}}\n", "got 10; the least possible value is"),
    "of.yaml": (SPACE + "constraints: {latency: {max: 1, of: nowhere}}\n", "latency.of: nowhere: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("words", [("check",), ("search", "--proxy", "quick", "--workers", 1, "--space")])
def test_bad_files_are_told_line_by_line(name: str, words: tuple, call, here: Path) -> None:
    text, part = BAD_FILES[name]
    written(here, name, text)
    result = call(*words, name)
    assert result.code == 2
    assert part in result.err
    assert all(line.startswith(f"gas: {name}") for line in result.err.splitlines())
    assert not Path("runs").exists()


def test_several_problems_of_a_file_are_all_told(call, here: Path) -> None:
    written(here, "many.yaml", SPACE.replace("head:", "heat:").replace("kernel: 3", "kernle: 3"))
    lines = call("check", "many.yaml").err.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("gas: many.yaml:") for line in lines)


SEARCH = (
    "search",
    "--generator",
    "evolution",
    "--space",
    "small.yaml",
    "--out",
    "new",
    "--proxy",
    "quick",
    "--workers",
    "1",
)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--workers", "0"), "workers: got 0; expected greater than or equal to 1"),
        (("--budget", "0"), "budget: got 0"),
        (("--budget", "many"), "search: Invalid value for '--budget': 'many' is not a valid integer."),
        (("--time", "soon"), "time: got 'soon'; expected a duration such as 90s, 10m or 2h"),
        (("--limit", "0"), "limit: got '0'; expected a duration"),
        (("--memory", "0"), "memory_mib: got 0"),
        (
            ("--generator", "evolutoin"),
            "generator: got 'evolutoin'; expected one of evolution, ",
        ),
        (("--option", "populatoin=3"), "generator evolution: got 'populatoin'; expected one of population"),
        (("--option", "seed=1"), "generator evolution: got 'seed'; expected one of crossover, mutation, population"),
        (("--utility", "prxy"), "utility: got 'prxy' in 'prxy'; expected one of macs, params, memory, latency, proxy"),
        (("--utility", "proxy +"), "utility: 'proxy +' is not an expression: invalid syntax; expected one such as"),
        (
            ("--utility", "netscore"),
            "with the proxy quick; expected a proxy that measures one (blend, shared_weights, short_training)",
        ),
        (("--from", "hiera_tinny"), "hiera_tinny: no such file, and no bundled space or design of that name; did you"),
        (("--from", "hiera_tiny"), "hiera_tiny: stages: got 4; expected 2 in the space small"),
        (("--from", "reference.yaml"), "reference.yaml: stages: got 1; expected 2 in the space small"),
        (("--from", "."), ".: got a folder; expected a design, or RUN:ID such as .:best"),
        (("--option", "population"), "option: got 'population'; expected NAME=VALUE"),
        (("--option", "population=1"), "evolution.population: got 1; expected a whole number, at least 2"),
        (("--proxy", "short_trainin"), "proxy: got 'short_trainin'; expected one of"),
        (("--fidelity", "stepz=3"), "fidelity: got 'stepz'; expected one of"),
        (("--fidelity", "steps=x"), "fidelity.steps: got 'x'"),
        (("--target", "cpu_eagr"), "target: got 'cpu_eagr'; expected one of cpu_"),
        (("--batch", "0"), "batch: got 0"),
        (("--threads", "0"), "threads: got 0"),
        (("--compare", "hiera_tinny"), "hiera_tinny: no such file, and no bundled space or design"),
        (("--proxy", "short_training", "--data", "/no/images"), "data: /no/images does not exist; expected a folder"),
        (("--ray-address", "nowhere"), "ray address: got 'nowhere'; expected the address of a running Ray cluster"),
        (("--bugdet", "3"), "search: no such option --bugdet; did you mean --budget?"),
        (("--space", "smal.yaml"), "smal.yaml: no such file, and no bundled space or design of that name"),
        (("--space", "tiny.yml.txt"), "tiny.yml.txt: no such file"),
        (("--space", "tinny.yaml"), "did you mean 'tiny'"),
        (("--out", "small.yaml"), "small.yaml: cannot be written to"),
        (("--out", "small.yaml/deeper"), "small.yaml/deeper: cannot be written to"),
        (("--out", "."), ".: got a folder that is no run and not empty"),
        (("--resume", "nothing"), "out: got new; a resumed run stays in nothing"),
    ],
)
def test_a_search_that_cannot_be_is_one_line_and_leaves_nothing(words: tuple, text: str, call, here: Path) -> None:
    before = sorted(here.iterdir())
    assert text in refused(call(*SEARCH, *words))
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("serch",), "command: got 'serch'; expected one of search, check"),
        (("check",), "check: Missing argument 'SPACE'."),
        (("check", "."), ".: got a folder; expected a YAML file"),
        (("check", "small.yaml", "--designs", "-1"), "check: Invalid value for '--designs'"),
        (("schema", "--out", "no/folder"), "no/folder: cannot be written: No such file or directory"),
        (("front", "nothing"), "nothing: got no such directory; expected the directory of a run"),
        (("front", "."), ".: got no run.json; expected the directory of a run"),
        (("front", "run", "--plot", "f.foo"), "f.foo: got '.foo'; expected one of .png, .svg, .pdf"),
        (("show", "run", "99"), "run: got '99'; expected the id or number of one of the run's 8 candidates"),
        (("show", "run"), "run: got a run alone; expected an id behind it, such as run best"),
        (("show", "small.yaml"), "small.yaml: got a search space with 3 decisions"),
        (("show", "hiera_tinny"), "did you mean"),
        (("cost", "run", "bst"), "got 'bst'"),
        (("latency", "reference.yaml", "--batch", "x"), "batch: got 'x'; expected a whole number from 1"),
        (("latency", "reference.yaml", "--batch", "1,,2"), "batch: got ''"),
        (("latency", "reference.yaml", "--target", "gpu"), "target: got 'gpu'; expected one of"),
        (("latency", "reference.yaml", "--seconds", "0"), "latency: Invalid value for '--seconds'"),
        (("export", "run", "--out", "o"), "run: got 0 ids behind a run; expected one, such as run best"),
        (("export", "run", "best", "3", "--out", "o"), "run: got 2 ids"),
        (("export", "hiera_tiny", "hiera_small", "--out", "o"), "export: got 2 designs; expected one"),
        (("export", "reference.yaml"), "export: Missing option '--out'."),
        (("search", "--resume", "nothing"), "nothing: got no run; expected the directory of one to resume"),
        (("search", "--resume", "run", "--seed", "4"), "seed: got 4; this run has 0, which cannot be changed"),
        (("search", "--resume", "run", "--space", "small.yaml"), "space: got small, which is not the space of run"),
        (
            ("search", "--generator", "evolution", "--space", "tiny.yaml", "--out", "run"),
            "run: got a run that exists already; expected a new",
        ),
    ],
)
def test_bad_words_are_one_line(words: tuple, text: str, call, run: str, here: Path) -> None:
    before = sorted(path.relative_to(here) for path in here.rglob("*") if "sqlite-" not in path.name)
    assert text in refused(call(*words))
    assert sorted(path.relative_to(here) for path in here.rglob("*") if "sqlite-" not in path.name) == before
    assert len(told(here / run)) == 8


def test_a_near_id_is_named(call, run: str) -> None:
    id = gas.open_run(run).architecture(0).id
    wrong = f"{id[:-1]}{'0' if id[-1] != '0' else '1'}"
    assert refused(call("show", run, wrong)).endswith(f"did you mean '{id}'?")


def test_ctrl_c_in_any_command_is_130(call, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gas.cli.designs.designs_of", interrupted)
    result = call("cost", "reference.yaml")
    assert result.code == 130
    assert result.err == "gas: interrupted\n"


def test_designs_of_words() -> None:
    first, second = designs_of(["reference.yaml", "zoo/turbovit"])
    assert (first.name, second.name) == ("reference", "turbovit")
    Path("folder").mkdir()
    with pytest.raises(gas.GasError, match=r"folder: got no run\.json"):
        designs_of(["folder", "best"])
    assert designs_of([]) == []
    assert issubclass(SettingError, gas.GasError)
