from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gas.errors import SettingError, UnknownNameError
from gas.registry import Registry


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package on disk whose modules register themselves."""
    folder = tmp_path / "animals_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("from gas.registry import Registry\nANIMALS = Registry('animal', __name__)\n")
    for name in ("horse", "heron"):
        source = (
            f"from animals_of_a_test import ANIMALS\n@ANIMALS.register('{name}')\ndef {name}():\n    return '{name}'\n"
        )
        (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder.name
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def animals(package: str) -> Registry:
    return __import__(package).ANIMALS


def test_a_look_up_imports_the_package_and_not_before(package: str) -> None:
    registry = animals(package)
    assert f"{package}.horse" not in sys.modules
    assert registry.get("horse")() == "horse"
    assert f"{package}.heron" in sys.modules


def test_names_are_sorted_and_iterable(package: str) -> None:
    registry = animals(package)
    assert registry.names() == list(registry) == ["heron", "horse"]
    assert "heron" in registry
    assert "hen" not in registry


def test_an_unknown_name_gets_the_nearest(package: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        animals(package).get("hrose")
    assert str(caught.value) == "animal: got 'hrose'; expected one of heron, horse; did you mean 'horse'?"


def test_one_name_twice_is_refused() -> None:
    registry: Registry[int] = Registry("number", "gas.patterns")
    registry.register("one")(1)
    with pytest.raises(ValueError, match="number 'one' is registered twice"):
        registry.register("one")(2)


def test_the_decorator_hands_back_what_it_was_given() -> None:
    registry: Registry[type] = Registry("class", "gas.patterns")

    @registry.register("thing")
    class Thing:
        pass

    assert registry.get("thing") is Thing


def test_files_of_a_folder_of_ones_own_join_the_package(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / package).mkdir(parents=True)
    (tmp_path / "c").mkdir()  # holds nothing for this package
    for file, name in (("a", "crane"), ("b", "stork")):
        text = f"from {package} import ANIMALS\n@ANIMALS.register('{name}')\ndef {name}():\n    return '{name}'\n"
        (tmp_path / file / package / f"{name}.py").write_text(text)
    monkeypatch.setenv("GAS_PLUGINS", os.pathsep.join(str(tmp_path / folder) for folder in ("a", "b", "c")))
    registry = animals(package)
    assert list(registry) == ["crane", "heron", "horse", "stork"]
    assert registry.get("stork").__module__ == f"{package}.stork"


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("horse.py", "", "horse.py; expected another name, because gas has a horse"),
        ("crane.py", "import nothing_of_that_name", "crane.py cannot be imported: ModuleNotFoundError: No module"),
        ("crane.py", "def", "crane.py cannot be imported: SyntaxError"),
        (None, "", "expected a folder"),
    ],
)
def test_what_is_wrong_with_such_a_folder_is_told(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str | None, text: str, problem: str
) -> None:
    monkeypatch.setenv("GAS_PLUGINS", str(tmp_path / "own"))
    if file:
        (tmp_path / "own" / package).mkdir(parents=True)
        (tmp_path / "own" / package / file).write_text(text)
    for _ in range(2):
        with pytest.raises(SettingError, match=f"^GAS_PLUGINS: .*{problem}"):
            animals(package).names()
