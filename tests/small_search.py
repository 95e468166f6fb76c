"""A space of 30 designs and a proxy that scores in microseconds: what the tests of the search itself run on.

Also run as a script, for tests that kill a search: it knows the proxy, and is otherwise the command `gas`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gas
from gas.architecture import Architecture
from gas.archive import Archive
from gas.errors import GasError
from gas.plan import plan
from gas.proxies import PROXIES
from gas.proxies.base import Proxy

BODY = """
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, stride: 2, dim: 16}
stages:
  - dim: {choose: [16, 24, 32]}
    blocks: [{pattern: transformer, depth: 1, mixer: {pattern: global_attention, head_dim: 8}, mlp: mlp}]
  - entry: q_pool
    dim: {choose: [32, 48]}
    blocks:
      - pattern: transformer
        depth: {range: [1, 5]}
        mixer: {pattern: global_attention, head_dim: 16}
        mlp: mlp
head: {pattern: classifier, classes: 10}
"""
SPACE = f"name: small\n{BODY}\nobjectives: [{{maximise: proxy}}, {{minimise: macs}}]\n"
SIZE = 30
WORST = 24  # width of the first stage whose deep designs fail

REFERENCE = """
name: reference
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, stride: 2, dim: 16}
stages:
  - dim: 24
    blocks: [{pattern: transformer, depth: 1, mixer: {pattern: global_attention, head_dim: 8}, mlp: mlp}]
head: {pattern: classifier, classes: 10}
"""
# Nine designs; some are slower than the reference allows, whatever the machine.
LATENCY_SPACE = """
name: timed
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, stride: 2, dim: 16}
stages:
  - dim: {choose: [16, 24, 32]}
    blocks:
      - pattern: transformer
        depth: {range: [1, 3]}
        mixer: {pattern: global_attention, head_dim: 8}
        mlp: mlp
head: {pattern: classifier, classes: 10}
objectives: [{maximise: proxy}, {minimise: latency}]
constraints: {latency: {max: 1.5, of: reference.yaml}}
"""

# Searches of two or three evaluations are too short for the default generator to begin.
QUICK = {"proxy": "quick", "workers": 1, "generator": "evolution"}
BEGIN_S = 120.0  # for a process to come so far; reached only where something is broken

SCORED: list[str] = []
"""Content id of every design that this process has scored."""


class Quick(Proxy):
    """A made-up score with diminishing returns in depth; four designs of 30 fail.

    `QUICK_SECONDS` in the environment makes it slow, and `QUICK_LOG` names a file that gets a line per design scored.
    """

    name = "quick"

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        time.sleep(float(os.environ.get("QUICK_SECONDS", "0")))
        SCORED.append(architecture.id)
        if log := os.environ.get("QUICK_LOG"):
            with open(log, "a") as file:
                file.write(f"{architecture.id}\n")
        if fails(architecture):
            raise ValueError("loss is nan")
        return {"quick": score(architecture), "quick_seed": float(seed)}


def fails(architecture: Architecture) -> bool:
    """True for the designs that the proxy cannot score."""
    return architecture.dims[0] == WORST and architecture.depths[-1] >= 4


def score(architecture: Architecture) -> float:
    """What the proxy says of a design."""
    return sum(dim**0.5 * (1 - 0.5**depth) for dim, depth in zip(architecture.dims, architecture.depths, strict=True))


def macs(architecture: Architecture) -> int:
    return plan(architecture).cost.macs


@contextmanager
def quick_proxy() -> Iterator[None]:
    """The proxy is known within, and nothing counts as scored at the start."""
    PROXIES.names()
    PROXIES.register("quick")(Quick)
    SCORED.clear()
    try:
        yield
    finally:
        PROXIES._table.pop("quick")


@contextmanager
def within_copy(made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a copy of what was made, which is the working directory; the proxy is known within."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    with quick_proxy():
        yield folder


def written(folder: Path, name: str = "small.yaml", text: str = SPACE) -> Path:
    """A file with a space."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def timed_space(folder: Path) -> Path:
    """The space whose latency is bounded by a reference design in the file beside it."""
    written(folder, "reference.yaml", REFERENCE)
    return written(folder, "timed.yaml", LATENCY_SPACE)


def told(out: Path) -> list[tuple]:
    """What stands in the archive about each evaluation, in the order told, but for the time it took."""
    with Archive.open(out, readonly=True) as archive:
        return [(e.candidate.number, e.candidate.architecture.id, e.status, e.metrics) for e in archive.evaluations()]


def command(*words: object, **environment: str) -> subprocess.Popen:
    """The command in a process of its own, which knows the quick proxy."""
    folders = [str(Path(__file__).parent), str(Path(gas.__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, words)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts into the background deaf to Ctrl-C, and so would the tests' children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(out: Path, evaluations: int, process: subprocess.Popen) -> None:
    """Until so many evaluations are in the archive."""
    end = time.monotonic() + BEGIN_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"the search ended by itself: {process.communicate()}")
        if (out / "run.json").exists() and len(told(out)) >= evaluations:
            return
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no {evaluations} evaluations after {BEGIN_S:g} s: {process.communicate()}")


def main(arguments: list[str]) -> int:
    """The command `gas`, with the proxy."""
    from gas.cli import main as gas

    with quick_proxy():
        return gas(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except GasError as error:  # the command must have caught it
        sys.exit(f"not caught: {error}")
