"""Searches on Ray whose workers are killed while they work: the candidates are scored by the next ones."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from faults.campaign import rows_of
from small_search import BEGIN_S, command, wait_for

KILLS = 8
BUDGET = 24


def workers_of(driver: int) -> list[int]:
    """Processes of Ray workers that are at work for a search which leads its own session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            if words.startswith(b"ray::Worker") and session == driver:
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_workers_killed_at_random_moments_cost_no_evaluation(tmp_path: Path, seed: int) -> None:
    """Each candidate is tried twice, and a candidate hit twice is told as failed: once, with the reason."""
    rng = random.Random(seed)
    out = tmp_path / "run"
    words = ["--space", "tiny.yaml", "--out", out, "--budget", BUDGET, "--workers", 2, "--proxy", "pca_count"]
    words += ["--generator", "random", "--fidelity", "resolution=32,batch=16,seeds=20", "--time", "none"]
    process = command("search", *words, "--json", "--quiet")
    wait_for(out, 2, process)
    killed = 0
    end = time.monotonic() + BEGIN_S
    while killed < KILLS and process.poll() is None and time.monotonic() < end:
        time.sleep(rng.uniform(0.1, 1.5))
        if pids := workers_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(pids), signal.SIGKILL)
                killed += 1
    _, errors = process.communicate(timeout=2 * BEGIN_S)
    assert process.returncode == 0, (seed, errors)
    assert killed > 0
    assert "Traceback" not in errors
    rows = rows_of(out)
    asked = Counter(row.number for row in rows if row.event == "asked")
    told = Counter(row.number for row in rows if row.event == "told")
    assert asked == told
    assert set(told.values()) == {1}
    states = Counter(row.values[2] for row in rows if row.event == "told")
    assert states["ok"] + states["failed"] == BUDGET
    assert states["failed"] <= killed // 2, seed
    failed = [row.values[4] for row in rows if row.event == "told" and row.values[2] == "failed"]
    assert all("its worker was killed or crashed" in reason for reason in failed)
