"""Trains designs of search_efficiency's real.yaml rung by rung, and keeps what each rung says of them.

    PYTHONPATH=. python experiments/fidelities/train.py digits
    PYTHONPATH=. python experiments/fidelities/train.py procedural

One and the same training of 400 steps, looked at after 25, 50, 100 and 200 of them: `resume` of the proxy
short_training. What the designs come to after 400 was trained before: search_efficiency/real-DATA.csv, with which the
last rung agrees (`--check 3` trains so many designs to the end and compares).

Writes rungs-DATA.csv: id, steps, accuracy, loss, seconds (of the worker, at that rung alone). One thread. Rows that
are there already are kept, so it may be stopped and begun again.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from pathlib import Path

import torch

from gas.architecture import Architecture
from gas.proxies import create

HERE = Path(__file__).parent
TRUTH = HERE.parent / "search_efficiency"
RUNGS, FULL = (25, 50, 100, 200), 400
DATA = {
    "digits": {"noise": 1.5, "images": None, "validation": None, "classes": None},
    "procedural": {"classes": 32, "images": 4096, "validation": 1024},
}
COLUMNS = ("id", "steps", "accuracy", "loss", "seconds")


def proxies(data: str, steps: tuple[int, ...]) -> list:
    """The proxy at each rung, as train_real.py trains."""
    fidelity = {"resolution": 32, "width": 1.0, "batch": 32, "rate": 2e-3, "horizon": FULL, **DATA[data]}
    return [create("short_training", {"data": data, "fidelity": {**fidelity, "steps": s}}) for s in steps]


def rungs_of(design: Architecture, climb: list) -> list[tuple[float, float, float]]:
    """Accuracy, loss and seconds at each rung, each gone on from the one below."""
    state, rows = b"", []
    for proxy in climb:
        begin = time.perf_counter()
        metrics, state = proxy.resume(design, state, seed=0)
        rows.append((metrics["short_training"], metrics["short_training_loss"], time.perf_counter() - begin))
    return rows


def main() -> None:
    """Trains what the table lacks, in a random order; or compares with what was trained before."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--designs", type=int, default=160, help="how many, drawn at random")
    parser.add_argument("--check", type=int, default=0, help="train so many to the end instead, and compare")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with (TRUTH / f"real-{given.data}.csv").open(newline="") as file:
        truth = {row["id"]: row for row in csv.DictReader(file) if row["seed"] == "0"}
    chosen = random.Random(0).sample(sorted(truth), given.designs)
    if given.check:
        climb = proxies(given.data, (*RUNGS, FULL))
        for id in chosen[: given.check]:
            accuracy, loss, _ = rungs_of(Architecture.from_json(truth[id]["design"]), climb)[-1]
            print(
                f"{id}: accuracy {accuracy:.6f} (before {truth[id]['accuracy']}), loss {loss:.6f} ({truth[id]['loss']})"
            )
        return
    climb = proxies(given.data, RUNGS)
    path = HERE / f"rungs-{given.data}.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {row["id"] for row in csv.DictReader(file)}
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(COLUMNS)
        for count, id in enumerate(chosen, 1):
            if id in done:
                continue
            rows = rungs_of(Architecture.from_json(truth[id]["design"]), climb)
            for steps, (accuracy, loss, seconds) in zip(RUNGS, rows, strict=True):
                out.writerow((id, steps, f"{accuracy:.6f}", f"{loss:.6f}", f"{seconds:.3f}"))
            file.flush()
            print(f"{count} of {len(chosen)}", flush=True)


if __name__ == "__main__":
    main()
