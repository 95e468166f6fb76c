"""README and docs: every command that a block shows is run, made short where it would take long."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.test_documents import ROOT, blocks, commands
from trainer.small_training import folder

PAGES = ("README.md", "runs.md", "deployment.md", "zoo.md", "searching.md")  # the others have tests of their own
NOT_RUN = {"HOST:6379": "asks for a cluster with GPUs; tests/evaluators join a local one"}
ONCE = "--set epochs=1 --set warm_epochs=0"
# What a command ends with here, so that it takes seconds; what is said last holds.
SHORTER = {
    r"gas search --space": "--budget 30 --time none",
    r"gas search --resume": "--budget 32",
    r"gas train .*--recipe imagenet_300ep": f"{ONCE} --set batch=8 --set group=8 --set min_rate=1e-7 --time 30s",
    r"gas train .*--data digits": "--set epochs=2 --set warm_epochs=1",
    r"gas train .*--data photos": ONCE,
    r"gas train --out trained --resume": "",
}
FEW = 'proxy="short_training", budget=4, generator="random", fidelity={"images": 64, "validation": 64, "batch": 8}'
PLACES = {"/data/imagenet": "imagenet"}
if importlib.util.find_spec("mlflow") is None:
    PLACES[" --mlflow sqlite:///mlflow.db"] = ""  # an optional package; tests/test_trackers.py has it stand in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def short(call: str) -> str:
    """A command as it is run here."""
    call = re.sub(r"\s+#.*", "", call)
    for place, here in PLACES.items():
        call = call.replace(place, here)
    for pattern, more in SHORTER.items():
        if re.match(pattern, call):
            return f"{call} {more}"
    return call


def shell(text: str, where: Path, seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
    """A line of shell in a folder, with this environment's gas in front of any other."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=where,
        env={**os.environ, "PATH": path, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/a and runs/b of turbovit.yaml, as the README begins."""
    place = tmp_path_factory.mktemp("searched")
    first = commands(ROOT / "README.md")[0]
    for call in (first, first.replace("runs/a", "runs/b").replace("--seed 0", "--seed 1")):
        done = shell(short(call), place)
        assert done.returncode == 0, f"{call}\n{done.stdout}\n{done.stderr}"
    return place


@pytest.fixture
def place(searched: Path, tmp_path: Path) -> Path:
    """A folder as the pages suppose it: runs, a design, images."""
    shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "runs" / "b", tmp_path / "runs" / "c")
    shutil.copy(ROOT / "experiments" / "train" / "turbovit_32px.yaml", tmp_path / "my_design.yaml")
    for name in ("imagenet", "photos"):
        folder(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, place: Path) -> None:
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    done = set()
    for call in commands(path):
        if any(word in call for word in NOT_RUN):
            continue
        for out in re.findall(r"--out (\S+)", call):
            if "--resume" not in call and "--eval-only" not in call:  # pages make the same folder again and again
                shutil.rmtree(place / out, ignore_errors=True)
        told = shell(short(call), place)
        assert told.returncode == 0, f"{page}: {short(call)}\n{told.stdout}\n{told.stderr}"
        assert told.stdout.strip(), f"{page}: {short(call)}: printed nothing"
        done.add(call)
    assert bool(done) == (page != "searching.md")  # which has Python alone


@pytest.mark.parametrize("page", ["README.md", "runs.md", "searching.md"])
def test_every_python_block_runs(page: str, place: Path) -> None:
    """The blocks of a page one after the other, as in a notebook; searches are made short, figures are not shown."""
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    texts = []
    for text in blocks(path, "python"):
        indent = len(text) - len(text.lstrip(" "))
        texts.append("\n".join(line[indent:] for line in text.splitlines()))
    whole = "\n".join(texts).replace('proxy="short_training", budget=40', FEW).replace("budget=40", "budget=30")
    whole = re.sub(r'out="runs/\w+"', 'out="runs/new"', whole, count=1)
    (place / "page.py").write_text(whole, encoding="utf-8")
    done = shell(f"{sys.executable} page.py", place)
    assert done.returncode == 0, f"{page}\n{whole}\n{done.stdout}\n{done.stderr}"


def test_what_is_left_out_is_on_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(word in text for word in (*NOT_RUN, "/data/imagenet"))


def test_every_script_that_the_pages_name_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for script in re.findall(r"python (experiments/\S+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), f"{page.name}: {script}"
