"""The reference sample of `micro_tasks`: from which mean and deviation of each task's loss come.

    python experiments/micro_tasks/reference.py          # writes reference.csv; rows that are there are kept
    python experiments/micro_tasks/reference.py report   # prints REFERENCE as it stands in gas/proxies/micro_tasks.py

The first six feasible designs, seed 0, that exist at 32 pixels, of each bundled space named below; default fidelity,
one thread.
"""

from __future__ import annotations

import contextlib
import csv
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import torch

import gas
from gas.architecture import Architecture
from gas.data.tasks import TASKS
from gas.errors import DesignError
from gas.proxies.micro_tasks import MicroTasks
from gas.proxies.reduce import reduce

FILE = Path(__file__).with_name("reference.csv")
SPACES, DESIGNS = ("turbovit", "hybrid"), 6
LOSSES = {task: f"micro_tasks_{task}_loss" for task in TASKS}
COLUMNS = ("space", "id", *(f"micro_tasks_{task}" for task in TASKS), *LOSSES.values(), "seconds")


def main() -> None:
    """Scores what the table lacks."""
    torch.set_num_threads(1)
    proxy = MicroTasks()
    proxy.prepare()
    done = {row["id"] for row in _rows()}
    with FILE.open("a", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if not done:
            out.writeheader()
        samples = {space: _sample(space, proxy.fidelity.resolution) for space in SPACES}
        for index in range(DESIGNS):
            for space, designs in samples.items():
                if designs[index].id in done:
                    continue
                began = time.process_time()
                scores = {name: f"{value:.6f}" for name, value in proxy.score(designs[index]).items()}
                seconds = f"{time.process_time() - began:.1f}"
                out.writerow({"space": space, "id": designs[index].id, "seconds": seconds, **scores})
                file.flush()


def _sample(space: str, resolution: int) -> list[Architecture]:
    """Designs that exist at the fidelity's resolution: windows of 7 do not."""
    found = []
    for design in gas.load_space(space).sample_feasible(4 * DESIGNS, seed=0):
        with contextlib.suppress(DesignError):
            reduce(design, resolution=resolution)
            found.append(design)
    return found[:DESIGNS]


def report() -> None:
    """Mean and deviation of each loss."""
    rows = _rows()
    for task, column in LOSSES.items():
        losses = [float(row[column]) for row in rows]
        print(f"{task}: ({mean(losses):.3f}, {stdev(losses):.3f}) over {len(losses)} designs")


def _rows() -> list[dict[str, str]]:
    if not FILE.exists():
        return []
    with FILE.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    report() if sys.argv[1:] == ["report"] else main()
