"""The house as drawn: which way imports run, who may use which library, and how long a file may grow.

Everything but the last two tests reads the source; none of it is run.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache

import pytest
from source_tree import ROOT, Import, Module, imports_of, layer_of, modules

# CONTRIBUTING.md shows the same drawing. Imports go from a line to the lines below it.
DRAWING = """\
cli
commands
arguments
report | testing | tune
session
banking | evidence | trainer
parts | leading
goals | prototypes | finalists | merging | handover
run
loop | verify | settings | records | checks | choosing
pricing | ladder | progress | plots | trackers
generators | evaluators | exports | archive
proxies
costs | probes | passes | estimates
banks
training
model | data
space
plan
patterns
evaluation | pareto | registry | utility
architecture | expressions | disk
errors | interrupts
"""
HEIGHT = {name: -row for row, line in enumerate(DRAWING.splitlines()) for name in line.split(" | ")}

# The nouns of the program: they say what a design is, so they must not depend on what is done with it.
NOUNS = ("evaluation", "pareto", "registry", "utility", "architecture", "expressions", "errors")
NOT_FOR_NOUNS = {"torch", "pandas", "yaml"}
NUMERIC = {"numpy", "moocore"}  # of the nouns, only the Pareto front and utilities are about arrays

MODULES = modules()
KNOWN = frozenset(MODULES)


@cache
def _imports(module: Module) -> list[Import]:
    return imports_of(module, KNOWN)


def _library(target: str) -> str:
    return target.partition(".")[0]


def _functions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _users(library: str) -> dict[str, str]:
    """Every place that imports a library, at the top of a module or inside a function: where -> layer."""
    return {
        f"{module.where}:{found.line}": module.layer
        for module in MODULES.values()
        for found in _imports(module)
        if _library(found.target) == library
    }


def test_there_is_a_package_to_read():
    assert {"gas.architecture", "gas.errors", "gas.patterns.base"} <= KNOWN


def test_every_module_has_a_place_in_the_drawing():
    assert [module.where for module in MODULES.values() if module.name != "gas" and module.layer not in HEIGHT] == []


def test_contributing_shows_the_same_drawing():
    assert DRAWING in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_imports_go_downward():
    wrong = []
    for module in MODULES.values():
        if module.layer not in HEIGHT:
            continue  # gas itself, the top, may reach anywhere; any other is what the test above is about
        for found in _imports(module):
            if _library(found.target) != "gas" or layer_of(found.target) == module.layer:
                continue
            if HEIGHT.get(layer_of(found.target), 1) >= HEIGHT[module.layer]:
                wrong.append(f"{module.where}:{found.line}: {module.layer} imports {found.target}")
    assert wrong == []


def test_every_import_from_the_package_exists():
    assert [
        f"{module.where}:{found.line}: {found.target}"
        for module in MODULES.values()
        for found in _imports(module)
        if _library(found.target) == "gas" and found.target != "gas" and found.target not in KNOWN
    ] == []


def test_no_two_modules_import_each_other_when_loaded():
    graph = {
        name: {found.target for found in _imports(module) if found.at_top and not found.for_types} & KNOWN
        for name, module in MODULES.items()
        if name != "gas"
    }
    assert _cycle(graph) == []


def test_nouns_stand_on_little():
    wrong = []
    for module in MODULES.values():
        if module.layer in NOUNS:
            refused = NOT_FOR_NOUNS | (set() if module.layer in ("pareto", "utility") else NUMERIC)
            wrong += [f"{module.where}:{f.line}: {f.target}" for f in _imports(module) if _library(f.target) in refused]
    assert wrong == []


@pytest.mark.parametrize(
    ("library", "owners"), [("ray", {"evaluators", "tune", "trainer"}), ("optuna", {"generators", "handover"})]
)
def test_a_large_library_has_an_owner(library, owners):
    assert {where: layer for where, layer in _users(library).items() if layer not in owners} == {}


def test_only_the_terminal_parts_load_terminal_libraries():
    assert [
        f"{module.where}:{found.line}: {found.target}"
        for module in MODULES.values()
        for found in _imports(module)
        if _library(found.target) in {"click", "rich"} and found.at_top and module.layer not in {"cli", "report"}
    ] == []


def test_no_file_is_over_400_lines():
    lengths = {module.where: len(module.text.splitlines()) for module in MODULES.values()}
    assert {where: length for where, length in lengths.items() if length > 400} == {}


def test_no_function_is_over_60_lines():
    lengths = {
        f"{module.where}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for module in MODULES.values()
        for node in _functions(module)
    }
    assert {where: length for where, length in lengths.items() if length > 60} == {}


def test_every_module_and_public_class_says_what_it_is():
    silent = [module.where for module in MODULES.values() if not ast.get_docstring(module.tree)]
    for module in MODULES.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{module.where}:{node.lineno} {node.name}")
    assert silent == []


def test_importing_gas_loads_nothing_heavy():
    heavy = ("torch", "pandas", "ray", "optuna", "sklearn", "scipy", "matplotlib", "click", "rich")
    assert _loaded_by("import gas", heavy) == []


def test_the_nouns_load_nothing_heavy():
    present = [f"gas.{name}" for name in NOUNS if f"gas.{name}" in KNOWN]
    assert present
    assert _loaded_by(f"import {', '.join(present)}", ("torch", "pandas", "yaml", "ray", "optuna")) == []


def _loaded_by(statement: str, libraries: tuple[str, ...]) -> list[str]:
    """Which of the libraries a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*(name for name in {libraries!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def _cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, first and last the same; empty where there is none."""
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if target != name and (found := follow(target, [*path, name])):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := follow(name, []))), [])


# The reader itself, on a package made for the purpose: a checker that finds nothing must be shown to find something.
@pytest.fixture
def small_package(tmp_path):
    package = tmp_path / "gas"
    for name, text in {
        "__init__": "from gas import cli",
        "errors": "def late():\n    from .space.tree import leaf",
        "space/__init__": "from . import tree",
        "space/tree": "from ..space import walk\nimport importlib\nimportlib.import_module('gas.cli')",
        "space/walk": "import gas.space.tree\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ray.tune",
        "cli": "",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return modules(package)


def _read(package: dict[str, Module], name: str) -> list[Import]:
    return imports_of(package[name], frozenset(package))


def test_reader_resolves_every_way_of_importing(small_package):
    targets = {name: [found.target for found in _read(small_package, name)] for name in small_package}
    assert targets == {
        "gas": ["gas.cli"],
        "gas.cli": [],
        "gas.errors": ["gas.space.tree"],
        "gas.space": ["gas.space.tree"],
        "gas.space.tree": ["gas.space.walk", "importlib", "gas.cli"],
        "gas.space.walk": ["gas.space.tree", "typing", "ray.tune"],
    }


def test_reader_tells_late_and_type_only_imports(small_package):
    assert not _read(small_package, "gas.errors")[0].at_top
    assert [found.for_types for found in _read(small_package, "gas.space.walk")] == [False, False, True]


def test_cycle_finder_finds_a_cycle(small_package):
    graph = {name: {found.target for found in _read(small_package, name)} for name in small_package}
    assert _cycle(graph) == ["gas.space.tree", "gas.space.walk", "gas.space.tree"]
    assert _cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
