from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gas

ROOT = Path(gas.__file__).parents[1]
FIDELITY = {"resolution": 32, "batch": 4, "seeds": 1}


def test_the_docstring_shows_every_function_and_only_names_that_are_there() -> None:
    shown = set(re.findall(r"gas\.(\w+)\(", gas.__doc__))
    assert shown <= set(gas.__all__)
    functions = {name for name in gas.__all__ if inspect.isfunction(getattr(gas, name))}
    assert functions == shown
    assert set(gas.__all__) - functions == {"Architecture", "GasError", "SearchSpace"}


@pytest.mark.parametrize("name", gas.__all__)
def test_every_public_name_is_documented_and_at_hand(name: str) -> None:
    thing = getattr(gas, name)
    assert callable(thing)
    assert inspect.getdoc(thing)
    assert thing.__module__.startswith("gas.")
    assert name in dir(gas)


def test_the_names_are_sorted_and_no_other_is_invented() -> None:
    assert gas.__all__ == sorted(gas.__all__)
    assert set(dir(gas)) == {*gas.__all__, "__version__"}
    with pytest.raises(AttributeError, match="module 'gas' has no attribute 'serch'"):
        gas.serch  # noqa: B018
    assert re.fullmatch(r"\d+\.\d+\.\d+", gas.__version__)


@pytest.mark.slow  # imports everything there is
def test_names_stay_what_they_are_whatever_is_imported_first() -> None:
    """A sub-package of the same name would take the function's place on import."""
    code = """
import importlib, pkgutil, gas
for module in pkgutil.walk_packages(gas.__path__, "gas."):
    importlib.import_module(module.name)
assert not [n for n in gas.__all__ if not callable(getattr(gas, n))]
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True, timeout=120)


def test_importing_gas_imports_nothing_heavy() -> None:
    code = "import sys, gas; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"torch", "numpy", "pandas", "ray", "optuna", "yaml", "click"} & set(done.stdout.split())


def test_the_lines_of_the_docstring_work(tmp_path: Path) -> None:
    space = gas.load_space("turbovit.yaml")
    assert space.size() > 10**9
    assert len(space.sample(2, 0)) == 2
    assert space.decisions
    design = gas.load("hiera_tiny")
    assert gas.cost(design).params == sum(p.numel() for p in gas.build(design).parameters())
    run = gas.search(
        "tiny.yaml", budget=2, out=tmp_path / "a", proxy="pca_count", fidelity=FIDELITY, generator="random"
    )
    assert gas.open_run(tmp_path / "a").front().equals(run.front())
