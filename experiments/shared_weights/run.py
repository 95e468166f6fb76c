"""Does a bank rank designs as training each of them alone does? Trains banks over real.yaml, and scores every design.

    PYTHONPATH=. python experiments/shared_weights/run.py digits --steps 1500
    PYTHONPATH=. python experiments/shared_weights/run.py procedural --steps 1500
    PYTHONPATH=. python experiments/shared_weights/run.py digits --steps 1500 --whole   # without segments

The truth is experiments/search_efficiency/real-DATA.csv: 345 designs, each trained alone for 400 steps, on the same
images. Adds rows to scores.csv, one for each design and bank. One thread; a bank that is
there (in --banks) is gone on with or used as it is, and rows of the same bank are written once.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch

from gas.architecture import Architecture
from gas.banking import BankTraining
from gas.proxies import create

HERE = Path(__file__).parent
PROBLEM = HERE.parent / "search_efficiency"
# As train_real.py has it: None is all that the source has.
DATA = {
    "digits": {"noise": 1.5, "images": None, "validation": None, "classes": None},
    "procedural": {"noise": 0.0, "classes": 32, "images": 4096, "validation": 1024},
}
COLUMNS = ("data", "bank", "steps", "segments", "distillation", "seed", "id", "score", "loss", "seconds")


def main() -> None:
    """Trains the bank where it is not there, then scores what the table lacks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="slice queries, keys and values as one")
    parser.add_argument("--distillation", type=float, default=1.0)
    parser.add_argument("--banks", default="banks", help="folder of the banks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    name = f"{given.data}-{given.steps}-{'whole' if given.whole else 'segments'}-{given.distillation:g}-{given.seed}"
    folder = Path(given.banks) / name
    there = (folder / "bank.safetensors").exists()
    fidelity = {"resolution": 32, "width": 1.0, "steps": given.steps, "batch": given.batch, "rate": 2e-3}
    settings = {"data": given.data, "seed": given.seed, "fidelity": fidelity | DATA[given.data]}
    settings |= {"segments": not given.whole, "distillation": given.distillation}
    began = time.perf_counter()
    with BankTraining(PROBLEM / "real.yaml", folder, resume=there, **settings) as training:
        training.run()
        for row in training.record.losses[-3:]:
            print(row)
    print(f"{name}: {time.perf_counter() - began:.0f} s of training")
    score(given, name, folder)


def score(given: argparse.Namespace, name: str, folder: Path) -> None:
    """Every design of the truth's table on the bank's weights."""
    with (PROBLEM / f"real-{given.data}.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    path, done = HERE / "scores.csv", set()
    if path.exists():
        with path.open(newline="") as file:
            done = {(row["bank"], row["id"]) for row in csv.DictReader(file)}
    proxy = create("shared_weights", {"bank": str(folder)})
    proxy.prepare()
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(COLUMNS)
        for row in truth:
            if (name, row["id"]) in done or row["seed"] != "0":
                continue
            began = time.perf_counter()
            found = proxy.score(Architecture.from_json(row["design"]))
            scores = [f"{found['shared_weights']:.6f}", f"{found['shared_weights_loss']:.6f}"]
            facts = [given.data, name, given.steps, int(not given.whole), given.distillation, given.seed, row["id"]]
            out.writerow([*facts, *scores, f"{time.perf_counter() - began:.3f}"])


if __name__ == "__main__":
    main()
