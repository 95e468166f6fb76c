"""Files are data: nothing in a run's folder, an exported artefact, a space or an expression is ever run as code."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import pickle
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_search import QUICK, SPACE, quick_proxy, written
from source_tree import PACKAGE

import gas
from gas.archive import FILE
from gas.errors import GasError
from gas.expressions import ExpressionError
from gas.run import export, open_run
from gas.session import Session, search
from gas.space import load_space, space_from_text
from gas.space.expressions import parse_expression
from gas.utility import read_utility

PICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
QUICKLY_S = 20.0  # what hangs takes for ever; a loaded machine takes its time


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with 6 evaluations, which no test may change."""
    folder = tmp_path_factory.mktemp("finished")
    with quick_proxy():
        return search(written(folder), out=folder / "run", budget=6, **QUICK).path


# What the package's text holds


def offences(text: str) -> list[str]:
    """What of a source's calls and imports could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [f"imports {name}" for name in names if name.partition(".")[0] in PICKLERS]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in ("eval", "exec", "__import__", "os.system", "os.popen") or given.get("shell") == "True":
                found.append(name)
            if name == "torch.load" and given.get("weights_only") != "True":
                found.append(name)
            if name.endswith(("np.load", "numpy.load")) and given.get("allow_pickle") != "False":
                found.append(name)
            unsafe = name.startswith("yaml.") and name.rpartition(".")[2] in (
                *("load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"),
                *("compose", "compose_all"),
            )
            if unsafe and given.get("Loader") not in ("yaml.SafeLoader", "yaml.CSafeLoader"):
                found.append(name)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\nimport " in node.value:
            # A script that another process runs, or a template of a file, whose gaps are names.
            found += offences(re.sub(r"(?<!\{)\{\w+\}(?!\})", "gap", node.value).replace("{{", "{").replace("}}", "}"))
    return found


def test_nothing_in_the_package_unpickles_or_evaluates() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): wrong
        for file in PACKAGE.rglob("*.py")
        if (wrong := offences(file.read_text("utf-8")))
    }
    # The check of a new pattern runs the source that export has just made of it, and no file.
    assert found == {"testing/patterns.py": ["exec"]}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.compose(text)",
        "eval(text)",
        "exec(compile(text, 'a', 'exec'))",
        "subprocess.run(text, shell=True)",
        'SCRIPT = """\nimport torch\ntorch.load(x)\n"""',
    ],
)
def test_the_look_at_the_text_sees_what_it_looks_for(text: str) -> None:
    assert offences(text)


# What happens


@contextlib.contextmanager
def nothing_unpickled() -> Iterator[None]:
    """Whatever is unpickled within, in this process, is an error."""

    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("something was unpickled")

    importlib.import_module("pandas")  # which derives a class from one of these
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler"):
            patch.setattr(pickle, name, refuse)
        yield


@pytest.mark.parametrize("generator", ["evolution", "tpe"])
def test_searching_reading_resuming_and_exporting_unpickle_nothing(generator: str, tmp_path: Path) -> None:
    space = written(tmp_path)
    with nothing_unpickled():
        with pytest.raises(AssertionError, match="unpickled"):
            pickle.loads(pickle.dumps(1))
        run = search(space, out=tmp_path / "run", budget=4, **QUICK | {"generator": generator})
        search(None, out=run.path, resume=True, budget=6)
        again = open_run(run.path)
        assert len(again.frame()) >= 6
        assert len(again.front())
        if generator == "evolution":
            export(again, tmp_path / "out")
    for file in [*run.path.rglob("*"), *(tmp_path / "out").rglob("*")]:
        if file.is_file():
            assert not file.name.endswith((".pt", ".pth", ".pkl", ".npy", ".joblib"))
            assert not file.read_bytes().startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"))


# Expressions

ESCAPES = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "stages[0].dim.__class__.__mro__",
    "(lambda: 1)()",
    "[x for x in [1, 2]]",
    "{x for x in [1]}",
    "(x := 1)",
    "1 if 1 else 2",
    "f'{1}'",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(1, 'real')",
    "max([1], key=abs)",
    "abs(*[1])",
    "sum([1])()",
    "[1][0]()",
    "'a'.join('b')",
    "9 ** 9 ** 9 ** 9",
    "1 << 999999999",
    "2 ** (10 ** 10)",
    "'x' * 999999999",
    "999999999 * 'x'",
    "[1] * 999999999",
    "sum([1] * 999999999)",
    "'%999999999d' % 1",
    "(" * 240 + "1" + ")" * 240,
    "-" * 490 + "1",
    "[" * 240 + "]" * 240,
    "1" * 10**7,
    "not " * 120 + "1 +",
    "...",
    "b'a'",
    "1j",
    "await x",
    "yield",
    "import os",
    "a = 1",
    "a; b",
    "\x00",
    "",
]


@pytest.mark.parametrize("text", ESCAPES, ids=range(len(ESCAPES)))
def test_an_expression_of_a_space_does_not_reach_python(text: str) -> None:
    begin = time.monotonic()
    try:
        parsed = parse_expression(text)
        value = parsed(dict.fromkeys(parsed.paths, 3))
    except ExpressionError:
        pass
    else:  # arithmetic that is merely odd, or a path that the space will not know
        assert isinstance(value, int | float | list) or parsed.paths
        assert len(str(value)) < 2000
    assert time.monotonic() - begin < QUICKLY_S


@pytest.mark.parametrize("text", [text for text in ESCAPES if text != "1" * 10**7])
@pytest.mark.parametrize("key", ["rules", "derive"])
def test_a_space_with_such_an_expression_says_so(key: str, text: str, tmp_path: Path) -> None:
    line = f"rules: [{json.dumps(text)}]" if key == "rules" else f"derive: {{stages.0.dim: {json.dumps(text)}}}"
    begin = time.monotonic()
    harmless = ("-" * 490 + "1", "(" * 240 + "1" + ")" * 240)  # numbers, which are no rules, or a width of 1
    with pytest.raises(GasError) if text not in harmless else contextlib.suppress(GasError):
        space = space_from_text(f"{SPACE}{line}\n", "space.yaml")
        space.sample(2, seed=0)
    assert time.monotonic() - begin < QUICKLY_S


@pytest.mark.parametrize("text", [*ESCAPES, "quick.__class__", "quick ** 9 ** 9 ** 9 + __import__('os')", "'a' * macs"])
def test_a_utility_does_not_reach_python(text: str) -> None:
    begin = time.monotonic()
    with pytest.raises(GasError) as caught:
        read_utility(text, {"proxy": "quick", "macs": "macs", "quick": "quick"})
    assert time.monotonic() - begin < QUICKLY_S
    assert "Traceback" not in str(caught.value)


@given(st.text(alphabet="ab01.[]()+-*/%<>= ,'_\"inotrd", max_size=80))
@settings(max_examples=300)
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        parsed = parse_expression(text)
        parsed(dict.fromkeys(parsed.paths, 2))
    with contextlib.suppress(GasError):
        read_utility(text, {"proxy": "quick", "a": "a", "b": "b"})


# YAML

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
DOCUMENTS = {
    "object": "name: !!python/object/apply:os.system ['true']\n",
    "name": "name: !!python/name:os.system\n",
    "module": "name: !!python/module:os\n",
    "new": "name: !!python/object/new:os.system ['true']\n",
    "tuple": "stages: !!python/tuple [1, 2]\n",
    "binary": "name: !!binary aGVsbG8=\n",
    "own": "name: !mine x\n",
    "laughs": LAUGHS,
    "loop": "stages: &a [*a]\n",
    "deep": "a: " + "[" * 100_000 + "]" * 100_000 + "\n",
    "deep map": "a: " + "{b: " * 50_000 + "1" + "}" * 50_000 + "\n",
    "documents": "name: a\n---\nname: b\n",
    "merge": "base: &b {x: 1}\nname: {<<: *b}\n",
    "number": "input: {resolution: " + "9" * 5000 + "}\n",
    "nan": "input: {resolution: .nan}\n",
    "control": "name: \x07\n",
    "none": "",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_yaml_that_is_more_than_data_is_an_error_and_soon(name: str, tmp_path: Path) -> None:
    begin = time.monotonic()
    file = tmp_path / "hostile.yaml"
    file.write_text(DOCUMENTS[name], encoding="utf-8")
    for read in (load_space, gas.load):
        with pytest.raises(GasError) as caught:
            read(str(file))
        assert all(len(line) < 1000 for line in str(caught.value).splitlines())
    assert time.monotonic() - begin < QUICKLY_S


# A run's folder

TEXTS = ("run.json", "space.yaml", "references.json")


def try_everything(path: Path) -> None:
    """Reads a run in every way, and goes on with it; GasError is the only error that may come."""
    for read in (
        lambda: open_run(path).front(),
        lambda: open_run(path).space.sample(1, seed=0),
        lambda: open_run(path).references,
        lambda: open_run(path).choice(),
        lambda: open_run(path).facts(open_run(path).choice()[0]),
        lambda: repr(open_run(path)),
        lambda: resumed(path),
    ):
        with contextlib.suppress(GasError):
            read()


def texts_of(path: Path) -> tuple:
    """All that the run's text files say."""
    run = open_run(path)
    return run.space, run.references


def resumed(path: Path) -> None:
    """Goes on with a run, which may have been told of a large budget."""
    with Session(None, path, resume=True, settings={"budget": 6, "seconds": 5.0, "workers": 1}) as session:
        session.run()


HOSTILE = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep map": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "nan": '{"format": NaN}',
    "number": '{"format": ' + "9" * 5000 + "}",
    "list": "[]",
    "text": '"run"',
    "empty": "",
    "bytes": b"\xff\xfe\x00",
    "null": "null",
}


@pytest.mark.parametrize("file", TEXTS)
@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_file_in_a_run_is_one_clear_error(how: str, file: str, finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    text = HOSTILE[how]
    (run / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GasError) as caught:
        texts_of(run)
    assert file.partition(".")[0] in str(caught.value)
    try_everything(run)


@pytest.mark.parametrize("file", [*TEXTS, FILE])
def test_a_link_to_nowhere_or_to_a_folder_is_one_clear_error(file: str, finished: Path, tmp_path: Path) -> None:
    for target in (tmp_path / "nowhere", tmp_path):
        run = shutil.copytree(finished, tmp_path / f"run-{target.name}")
        (run / file).unlink()
        (run / file).symlink_to(target)
        with pytest.raises(GasError):
            (texts_of(run), open_run(run).frame())
        try_everything(run)


def values(text: str) -> list[tuple]:
    """Paths of all values in a JSON text."""

    def under(value: object, path: tuple) -> Iterator[tuple]:
        yield path
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in inner:
            yield from under(each, (*path, key))

    return [path for path in under(json.loads(text), ()) if path]


WRONG = st.sampled_from([None, True, -1, 0, 2.5, 1e308, float("nan"), float("inf"), 10**400, "", "x", [], {}, [[]]])


@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_value_of_another_kind_in_a_run_gives_no_traceback(
    data: st.DataObject, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(finished, run)
    name = data.draw(st.sampled_from(["run.json", "references.json"]))
    text = (run / name).read_text()
    *path, last = data.draw(st.sampled_from(values(text) or [("new",)]))
    whole = within = json.loads(text)
    for key in path:
        within = within[key]
    within[last] = data.draw(WRONG)
    (run / name).write_text(json.dumps(whole))
    try_everything(run)


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_bytes_changed_in_a_run_give_no_traceback(data: st.DataObject, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(finished, run)
    file = run / data.draw(st.sampled_from(TEXTS))
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, max(len(content) - 1, 0)))
    content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    file.write_bytes(content)
    try_everything(run)
