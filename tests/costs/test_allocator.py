from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gas.costs import LatencyTable
from gas.costs.allocator import keep_memory
from gas.costs.measure import measure

FAULTS = """
import resource, sys, torch
from gas.costs.allocator import keep_memory
if sys.argv[1] == "kept":
    assert keep_memory()
def work():
    for size in (16_000_000, 3_000_000, 500_000):
        torch.zeros(size).add_(1)
for _ in range(2):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_memory(), reason="no glibc: its allocator is not used")
@pytest.mark.slow
def test_memory_that_was_used_once_is_not_asked_for_again() -> None:
    faults = {}
    for how in ("plain", "kept"):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    # A block may come to lie where none was before, and costs its pages once more (488 for the smallest); asking anew
    # every time costs thousands.
    assert faults["plain"] > 2_000
    assert faults["kept"] < faults["plain"] / 10


def test_whatever_is_measured_is_measured_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("gas.costs.measure.keep_memory", lambda: asked.append(True))
    measure({"": lambda: torch.zeros(1)}, seconds=0.01)
    assert asked


def test_the_label_says_so(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LatencyTable(path=tmp_path / "a.sqlite").label["memory"] == ("kept" if keep_memory() else "as allocated")
    monkeypatch.setattr("gas.costs.table.keep_memory", lambda: False)
    assert LatencyTable(path=tmp_path / "a.sqlite").label["memory"] == "as allocated"
