"""Does the sum over separately measured blocks say how fast whole designs are beside one another?

Whole designs are measured interleaved, by wall time and by CPU time; the table is filled twice from nothing: alone, and
while two other processes compute, as during a search. Writes designs.csv and summary.csv beside this file.

    PYTHONPATH=. python experiments/latency_table/run.py
"""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from gas.architecture import Architecture
from gas.costs import LatencyTable, cost, latency, ratio
from gas.space import load, load_space

HERE = Path(__file__).parent
BUSY = (
    "import torch; torch.set_num_threads(1); a = torch.randn(8, 3, 64, 64); c = torch.nn.Conv2d(3, 64, 5)\n"
    "print('begun', flush=True)\n"
    "while True: c(a).relu().mean().backward()"
)


def designs() -> dict[str, Architecture]:
    """The reference, a larger one, and eight random designs of the size that a search proposes."""
    found = {name: load(name) for name in ("turbovit", "hiera_tiny")}
    for each in load_space("turbovit.yaml").sample(400, seed=0):
        design = getattr(each, "architecture", each)
        size = cost(design)
        if len(found) < 10 and 1.2e9 <= size.macs <= 2.2e9 and size.params <= 12.7e6:
            found[f"random {len(found) - 1}"] = design
    return found


@contextmanager
def computing(processes: int) -> Iterator[None]:
    """Other processes that compute meanwhile, one thread each."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for other in others:
            other.stdout.readline()  # it has begun
        yield
    finally:
        for other in others:
            other.kill()
            other.communicate()


def predictions(architectures: Sequence[Architecture], busy: int) -> list[float]:
    """Predicted ms of each, from a table that starts empty."""
    with tempfile.TemporaryDirectory() as folder, computing(busy):
        return LatencyTable(path=Path(folder) / "latency.sqlite").predict_many(architectures)


def summary(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, str]:
    """Rank correlation, and how far ratios of two predictions are from ratios of two measurements."""
    log = np.log(np.asarray(predicted) / np.asarray(measured))
    pairs = [abs(np.expm1(a - b)) for a, b in itertools.permutations(log, 2)]
    to_reference = [abs(np.expm1(each - log[0])) for each in log[1:]]
    return {
        "spearman": f"{spearmanr(predicted, measured).statistic:.3f}",
        "median ratio error": f"{np.median(pairs):.3f}",
        "worst ratio error": f"{max(pairs):.3f}",
        "worst ratio error to turbovit": f"{max(to_reference):.3f}",
    }


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Measures, compares, writes."""
    torch.set_num_threads(1)
    chosen = designs()
    whole = list(chosen.values())
    quiet, busy = predictions(whole, busy=0), predictions(whole, busy=2)
    wall = latency(whole, seconds=15, tolerance=0.01, seed=1)
    cpu = latency(whole, seconds=15, tolerance=0.01, seed=2, clock="cpu")
    rows = []
    for number, (name, design) in enumerate(chosen.items()):
        on_wall, on_cpu = ratio(wall[number], wall[0]), ratio(cpu[number], cpu[0])
        rows.append(
            {
                "design": name,
                "id": design.id,
                "macs": cost(design).macs,
                "params": cost(design).params,
                "wall_ms": f"{wall[number].median_ms:.2f}",
                "cpu_ms": f"{cpu[number].median_ms:.2f}",
                "table_ms": f"{quiet[number]:.2f}",
                "table_busy_ms": f"{busy[number]:.2f}",
                "wall_ratio": f"{on_wall.value:.3f} [{on_wall.low:.3f} {on_wall.high:.3f}]",
                "cpu_ratio": f"{on_cpu.value:.3f} [{on_cpu.low:.3f} {on_cpu.high:.3f}]",
                "table_ratio": f"{quiet[number] / quiet[0]:.3f}",
                "table_busy_ratio": f"{busy[number] / busy[0]:.3f}",
                "rounds": f"{wall[number].repeats} + {cpu[number].repeats}",
            }
        )
    write(HERE / "designs.csv", rows)
    estimates = {"table, quiet": quiet, "table, busy": busy, "macs alone": [cost(design).macs for design in whole]}
    truths = {"wall": [each.median_ms for each in wall], "cpu": [each.median_ms for each in cpu]}
    estimates["wall"] = truths["wall"]  # how far the two clocks themselves agree
    found = [
        {"estimate": name, "against": clock, **summary(values, truth)}
        for clock, truth in truths.items()
        for name, values in estimates.items()
        if name != clock
    ]
    write(HERE / "summary.csv", found)
    for row in found:
        print(*(f"{key} {value}" for key, value in row.items()), sep=", ")


if __name__ == "__main__":
    main()
