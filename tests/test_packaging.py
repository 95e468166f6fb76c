"""What is installed: the list of packages, the search spaces inside the wheel, and locks that agree with setup.cfg."""

from __future__ import annotations

import configparser
import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from source_tree import PACKAGE, ROOT

SPACES = ROOT / "search_spaces"


def _setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def _lines(text: str) -> list[str]:
    """The entries of a value with one entry a line."""
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _pins(name: str) -> dict[str, str]:
    """Project -> version, as a lock file pins them."""
    pairs = [line.split("==") for line in _lines((ROOT / name).read_text(encoding="utf-8"))]
    return {_canonical(project): version for project, version in pairs}


def _canonical(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def _asked_for() -> list[Requirement]:
    """Every requirement of setup.cfg, extras included."""
    config = _setup_cfg()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return [Requirement(line) for text in texts for line in _lines(text)]


def _shipped(pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in SPACES.rglob(pattern)}


def test_package_list_is_the_tree():
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("*.py")}
    assert sorted(_lines(_setup_cfg()["options"]["packages"])) == sorted(on_disk | {"gas.search_spaces"})


def test_every_package_has_an_init_file():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_every_space_is_package_data():
    patterns = _lines(_setup_cfg()["options.package_data"]["gas.search_spaces"])
    spaces = {str(path.relative_to(SPACES)) for path in SPACES.rglob("*") if path.is_file()}
    assert spaces
    # fnmatch lets a star cross folders, setuptools does not: so compare folder by folder.
    covered = {
        space
        for space in spaces
        for pattern in patterns
        if space.count("/") == pattern.count("/") and fnmatch.fnmatch(space, pattern)
    }
    assert sorted(space for space in spaces if space.endswith((".yaml", ".yml")) and space not in covered) == []


def test_data_files_beside_the_code_are_package_data():
    declared = _setup_cfg()["options.package_data"]
    missing = []
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            package = ".".join(path.parent.relative_to(ROOT).parts)
            if not any(fnmatch.fnmatch(path.name, pattern) for pattern in _lines(declared.get(package, ""))):
                missing.append(str(path.relative_to(ROOT)))
    assert missing == []


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory):
    """What a wheel of this checkout holds. Built on a copy, because a build leaves files where it ran."""
    copy = tmp_path_factory.mktemp("wheel")
    for name in ("gas", "search_spaces"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "out"), str(copy)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = (copy / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_the_spaces(wheel_names):
    found = {name for name in wheel_names if name.startswith("gas/search_spaces/") and name.endswith(".yaml")}
    assert found == {f"gas/{name}" for name in _shipped("*.yaml")}


def test_wheel_holds_the_code_and_nothing_else(wheel_names):
    code = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}
    assert {name for name in wheel_names if name.endswith(".py")} == code


def test_wheel_holds_the_licence(wheel_names):
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)


def test_lock_satisfies_setup_cfg():
    pins = _pins("requirements.lock")
    unmet = [str(wanted) for wanted in _asked_for() if pins.get(_canonical(wanted.name), "") not in wanted.specifier]
    assert unmet == []


def test_lock_puts_torch_first():
    assert _lines((ROOT / "requirements.lock").read_text(encoding="utf-8"))[0].startswith("torch==")


def test_parity_torchvision_belongs_to_the_torch_in_the_lock():
    """The two are released in pairs; torchvision's own metadata says which torch it belongs to."""
    wanted = [Requirement(line) for line in metadata.requires("torchvision")]
    (torch,) = (line for line in wanted if line.name == "torch")
    assert _pins("requirements.lock")["torch"] in torch.specifier
