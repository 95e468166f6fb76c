"""Trains every design of real.yaml that lies within its bounds, on digits and on procedural images.

    PYTHONPATH=. python experiments/search_efficiency/train_real.py digits
    PYTHONPATH=. python experiments/search_efficiency/train_real.py procedural

Writes real-DATA.csv: id, design (canonical JSON), macs, params, seed, accuracy, loss, train_loss, seconds. One thread;
about 45 minutes each on a quiet core. Rows that are there already are kept, so it may be stopped and begun again.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch

from gas.architecture import Architecture
from gas.data import ImageData, load
from gas.model import build
from gas.plan import plan
from gas.space import SearchSpace, load_space
from gas.training import Recipe, suited_rate, train, validate

HERE = Path(__file__).parent
STEPS, BATCH, RATE = 400, 32, 2e-3
# Without noise every design reads nearly all digits, and with few classes nearly all fractals.
DATA = {"digits": {"noise": 1.5}, "procedural": {"classes": 32, "images": 4096, "validation": 1024}}
COLUMNS = ("id", "design", "macs", "params", "seed", "accuracy", "loss", "train_loss", "seconds")


def designs(space: SearchSpace) -> list[Architecture]:
    """Every design within the bounds, once each, in a fixed order."""
    found = {}
    wheels: list[tuple[int, int]] = []  # (chosen, choices) per decision of the last walk: an odometer
    while True:
        walk: list[tuple[int, int]] = []

        def choose(decision: object, allowed: tuple, walk: list = walk, wheels: list = wheels) -> object:
            place = wheels[len(walk)][0] if len(walk) < len(wheels) else 0
            walk.append((place, len(allowed)))
            return allowed[place]

        design = space.realise(choose).architecture
        found[design.id] = design
        while walk and walk[-1][0] + 1 == walk[-1][1]:
            walk.pop()
        if not walk:
            return list(found.values())
        wheels = [*walk[:-1], (walk[-1][0] + 1, walk[-1][1])]


def trained(design: Architecture, data: ImageData, seed: int) -> tuple[float, float, float]:
    """Accuracy and loss on the validation images, and the loss at the end of training."""
    network = build(design, classes=data.classes, seed=seed)
    torch.manual_seed(seed)
    train_loss = train(network, data, Recipe(STEPS, BATCH, suited_rate(design, RATE)), seed=seed)
    return *validate(network, data), train_loss


def main() -> None:
    """Trains what the table lacks, seed by seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each design")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load(given.data, resolution=32, seed=0, **DATA[given.data])
    path = HERE / f"real-{given.data}.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(row["id"], int(row["seed"])) for row in csv.DictReader(file)}
    space = load_space(HERE / "real.yaml")
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(COLUMNS)
        for seed in range(given.seeds):
            for design in designs(space):
                if (design.id, seed) in done:
                    continue
                start, cost = time.perf_counter(), plan(design).cost
                accuracy, loss, train_loss = trained(design, data, seed)
                scores = [f"{accuracy:.6f}", f"{loss:.6f}", f"{train_loss:.6f}", f"{time.perf_counter() - start:.1f}"]
                out.writerow([design.id, design.to_json(), cost.macs, cost.params, seed, *scores])
                file.flush()


if __name__ == "__main__":
    main()
