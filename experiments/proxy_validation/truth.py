"""The truth that proxies are held against: designs of small.yaml (digits) or medium.yaml (fractals), trained in full.

    python experiments/proxy_validation/truth.py small      # and medium

Writes truth-SPACE.csv, a row per training: id, seed, accuracy, loss, train_loss, seconds, macs, params, design. One
thread; rows that are there are kept. 100 designs with one seed, the first 20 of them with two more.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch

import gas
from gas.proxies.short_training import ShortTraining

HERE = Path(__file__).parent
DRAWN, DESIGNS, AGAIN, SEEDS = 110, 100, 20, 3
COLUMNS = ("id", "seed", "accuracy", "loss", "train_loss", "seconds", "macs", "params", "design")
TRUTH = {
    "small": (
        "digits",
        {"resolution": 32, "images": 1257, "validation": 540, "classes": 10, "noise": 5.0, "steps": 600},
    ),
    "medium": (
        "procedural",
        {"resolution": 64, "images": 4096, "validation": 2048, "classes": 128, "noise": 1.0, "steps": 1200},
    ),
}
RECIPE = {"width": 1.0, "batch": 32, "rate": 2e-3}


def main() -> None:
    """Trains what the table lacks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("space", choices=TRUTH)
    name = parser.parse_args().space
    torch.set_num_threads(1)
    data, fidelity = TRUTH[name]
    proxy = ShortTraining(data, {**fidelity, **RECIPE}, seed=0)
    proxy.prepare()
    sample = gas.load_space(HERE / f"{name}.yaml").sample_feasible(DRAWN, seed=0)
    jobs = [(index, 0) for index in range(DESIGNS)]
    jobs += [(index, seed) for seed in range(1, SEEDS) for index in range(AGAIN)]
    path, done = HERE / f"truth-{name}.csv", set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(row["id"], int(row["seed"])) for row in csv.DictReader(file)}
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(COLUMNS)
        for index, seed in jobs:
            design = sample[index]
            if (design.id, seed) in done:
                continue
            began, cost = time.perf_counter(), gas.cost(design)
            score = proxy.score(design, seed=seed)
            seconds = time.perf_counter() - began
            values = [score[name] for name in ("short_training", "short_training_loss", "short_training_train_loss")]
            numbers = [f"{value:.6f}" for value in values]
            out.writerow([design.id, seed, *numbers, f"{seconds:.1f}", cost.macs, cost.params, design.to_json()])
            file.flush()


if __name__ == "__main__":
    main()
