"""Does generative search beat plain scaling? At equal cost, trained alike; see README.md beside this file.

    PYTHONPATH=. python experiments/gas_vs_scaling/run.py search     # designs.csv, searches.csv
    PYTHONPATH=. python experiments/gas_vs_scaling/run.py train      # results.csv; adds what it lacks
    PYTHONPATH=. python experiments/gas_vs_scaling/run.py rate       # rates.csv: the reference at several rates
    PYTHONPATH=. python experiments/gas_vs_scaling/run.py longer     # longer.csv: some designs, four times the steps
    PYTHONPATH=. python experiments/gas_vs_scaling/run.py latency    # latency.csv
    PYTHONPATH=. python experiments/gas_vs_scaling/run.py report     # summary.csv, the figure, tables of the README

One thread. Training adds a row at a time and leaves out what is there, so it may be stopped and begun again. The
searches see no seed of the trainings that are compared.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch
from designs import REFERENCE, Entry, drawn, found, read, ruled, save, scaled, space_of, write

from gas.architecture import Architecture
from gas.costs import latency
from gas.costs.measure import ratio
from gas.data import load
from gas.model import build
from gas.training import Recipe, strengthen, suited_rate, train, validate

HERE = Path(__file__).parent
STEPS, BATCH, RATE = 350, 16, 7e-4  # the rate is the one that gas's own short training has by default
WIDTH = 0.25  # of designs at 224 pixels, for which linear layers start as they do
RATES, RATE_SEED = (3.5e-4, 7e-4, 1.4e-3), 7  # of the reference, to see whether the rate is unkind to it
SEEDS = (101, 102, 103, 104)  # of images, weights and order
# Without noise every design reads nearly all digits.
DATA = {"digits": {"noise": 1.5}, "procedural": {"classes": 16, "images": 4096, "validation": 1024}}
LAST = ("gas_blend_2", "gas_short_training_2")  # differ from the first by heads alone: trained when the others are
LONGER = (REFERENCE, "gas_blend_1", "gas_short_training_1")
COLUMNS = ("design", "group", "data", "seed", "accuracy", "loss", "train_loss", "cpu_s")
LATENCY_COLUMNS = ("design", "batch", "median_ms", "q1_ms", "q3_ms", "rounds", "ratio", "low", "high")


def trained(design: Architecture, name: str, seed: int, *, rate: float = RATE, steps: int = STEPS) -> dict[str, float]:
    """Accuracy and loss on the validation images after the training, and its own loss at the end.

    Args:
        design: What to train.
        name: Of the data.
        seed: Of the images (which digits and which noise, which fractals), the initial weights and the order.
        rate: Highest learning rate, for 12 blocks of mean width 64.
        steps: Of training.
    """
    data, start = load(name, resolution=64, seed=seed, **DATA[name]), time.thread_time()
    network = build(design, classes=data.classes, seed=seed)
    strengthen(network, WIDTH**-0.5)
    train_loss = train(network, data, Recipe(steps, BATCH, suited_rate(design, rate)), seed=seed)
    accuracy, loss = validate(network, data)
    return {"accuracy": accuracy, "loss": loss, "train_loss": train_loss, "cpu_s": time.thread_time() - start}


def rates() -> None:
    """Trains the reference at several rates."""
    rows = []
    for name in DATA:
        for rate in RATES:
            row = trained(scaled(REFERENCE), name, RATE_SEED, rate=rate)
            rows.append({"data": name, "rate": rate, **row})
            print(rows[-1], flush=True)
    write(HERE / "rates.csv", tuple(rows[0]), rows)


def train_all(entries: list[Entry], seeds: int) -> None:
    """Trains what results.csv lacks: both data sets at one seed, then one after the other at the other seeds."""
    cells = [(name, SEEDS[0]) for name in DATA] + [(name, seed) for name in DATA for seed in SEEDS[1:seeds]]
    wanted = [
        (e, name, seed) for last in (False, True) for name, seed in cells for e in entries if (e.name in LAST) is last
    ]
    append(HERE / "results.csv", wanted, STEPS)


def train_longer(entries: list[Entry]) -> None:
    """Trains some designs four times as long, to see whether their order is one of short trainings alone."""
    some = [entry for entry in entries if entry.name in LONGER]
    append(HERE / "longer.csv", [(entry, name, SEEDS[0]) for name in DATA for entry in some], 4 * STEPS)


def append(path: Path, wanted: list[tuple[Entry, str, int]], steps: int) -> None:
    """Trains the (design, data, seed) that a file lacks, in this order, a row at a time."""
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(r["design"], r["data"], int(r["seed"])) for r in csv.DictReader(file)}
    with path.open("a", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            out.writeheader()
        for entry, name, seed in wanted:
            if (entry.name, name, seed) not in done:
                row = {key: f"{v:.6f}" for key, v in trained(entry.design, name, seed, steps=steps).items()}
                out.writerow({"design": entry.name, "group": entry.group, "data": name, "seed": seed, **row})
                file.flush()


def latencies(entries: list[Entry], seconds: float) -> None:
    """Measures all designs beside one another, and their ratios to the reference."""
    rows, at = [], [entry.name for entry in entries].index(REFERENCE)
    for batch in (1, 16):
        timings = latency([e.design for e in entries], target="cpu_eager", batch=batch, seconds=seconds, clock="cpu")
        for entry, timing in zip(entries, timings, strict=True):
            against = ratio(timing, timings[at])
            values = (timing.median_ms, timing.q1_ms, timing.q3_ms, timing.repeats)
            values += (against.value, against.low, against.high)
            row = [entry.name, batch, *(v if isinstance(v, int) else f"{v:.4f}" for v in values)]
            rows.append(dict(zip(LATENCY_COLUMNS, row, strict=True)))
    write(HERE / "latency.csv", LATENCY_COLUMNS, rows)


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("search", "train", "rate", "longer", "latency", "report"))
    parser.add_argument("--seeds", type=int, default=3, help="of train")
    parser.add_argument("--seconds", type=float, default=25.0, help="of latency, per batch size")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.part == "search":
        space = space_of()
        save([*ruled(space), *found(space), *drawn(space)])
    elif given.part == "rate":
        rates()
    elif given.part == "train":
        train_all(read(), given.seeds)
    elif given.part == "longer":
        train_longer(read())
    elif given.part == "latency":
        latencies(read(), given.seconds)
    else:
        from report import report

        report()


if __name__ == "__main__":
    main()
