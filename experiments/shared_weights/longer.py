"""A truth that is nearer to the end of training: 60 designs of real.yaml trained alone for four times as many steps.

    PYTHONPATH=. python experiments/shared_weights/longer.py digits       # and procedural

Writes longer-DATA.csv: id, accuracy, loss, seconds. One thread; rows that are there are kept. `report.py` reads it.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from pathlib import Path

import torch
from run import DATA, PROBLEM

from gas.architecture import Architecture
from gas.data import load
from gas.model import build
from gas.training import Recipe, suited_rate, train, validate

HERE = Path(__file__).parent
STEPS, BATCH, RATE, DESIGNS = 1600, 32, 2e-3, 60


def main() -> None:
    """Trains what the table lacks, in an order drawn once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=DATA)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with (PROBLEM / f"real-{given.data}.csv").open(newline="") as file:
        truth = [row for row in csv.DictReader(file) if row["seed"] == "0"]
    path, done = HERE / f"longer-{given.data}.csv", set()
    if path.exists():
        with path.open(newline="") as file:
            done = {row["id"] for row in csv.DictReader(file)}
    data = load(given.data, resolution=32, seed=0, **DATA[given.data])
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(("id", "accuracy", "loss", "seconds"))
        for row in random.Random(0).sample(truth, DESIGNS):
            if row["id"] in done:
                continue
            began, design = time.perf_counter(), Architecture.from_json(row["design"])
            network = build(design, classes=data.classes, seed=0)
            torch.manual_seed(0)
            train(network, data, Recipe(STEPS, BATCH, suited_rate(design, RATE)), seed=0)
            accuracy, loss = validate(network, data)
            out.writerow([row["id"], f"{accuracy:.6f}", f"{loss:.6f}", f"{time.perf_counter() - began:.1f}"])
            file.flush()


if __name__ == "__main__":
    main()
