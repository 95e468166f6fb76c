"""Replays searches on designs that were truly trained: real-digits.csv and real-procedural.csv (train_real.py).

    PYTHONPATH=. python experiments/search_efficiency/real.py gas-evolution optuna-nsga2 --seeds 20

Every design of real.yaml within its bounds was trained, so whatever a search proposes there has an answer. Appends to
real.csv (or --out): sampler, data, seed, batch, then the columns of analytic.csv; `best` rows hold the hypervolume of
the whole table.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from replay import Problem, Record, search
from samplers import GasSampler, make

from gas.evaluation import Objective
from gas.space import SearchSpace, load_space
from gas.space.designs import Designs

HERE = Path(__file__).parent
KEYS = ("sampler", "data", "seed", "batch")
OBJECTIVES = (Objective("accuracy", maximise=True), Objective("macs"), Objective("params"))


class RealProblem(Problem):
    """A table of trained designs.

    Args:
        space: The space of real.yaml.
        data: `digits` or `procedural`.

    Attributes:
        table: Accuracy in percent by design id, the mean of its trainings.
    """

    def __init__(self, space: SearchSpace, data: str) -> None:
        found: dict[str, list[float]] = {}
        costs: dict[str, tuple[float, float]] = {}
        with (HERE / f"real-{data}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["id"], []).append(100 * float(row["accuracy"]))
                costs[row["id"]] = float(row["macs"]), float(row["params"])
        self.table = {design: float(np.mean(values)) for design, values in found.items()}
        # As in the analytic problem, what 5% of the designs fall short of.
        floor = float(np.quantile(list(self.table.values()), 0.05))
        super().__init__(space, OBJECTIVES, {**{c.metric: c.high for c in space.budgets}, "accuracy": floor})
        everything = np.array([costs[design] for design in self.table])
        assert (self.violations(everything) <= 0).all(), "the table holds designs outside the bounds"
        self.best = self.volume(np.array(list(self.table.values())), everything)

    def answer(self, designs: Designs, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What was measured; outside the bounds nobody trained, and the table's least is told."""
        least = min(self.table.values())
        found = np.array([self.table[d.id] if ok else least for d, ok in zip(designs, inside, strict=True)])
        return found, found


def read_probes() -> dict[str, list[dict[str, float]]]:
    """What probe_real.py found: per design id, a mapping per block; nothing where it was not run."""
    found: dict[str, list[dict[str, float]]] = {}
    path = HERE / "real-probes.csv"
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                block = {name: float(value) for name, value in row.items() if name not in ("id", "block") and value}
                found.setdefault(row["id"], []).append(block)
    return found


def main() -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samplers", nargs="+")
    parser.add_argument("--data", nargs="+", choices=("digits", "procedural"), default=["digits", "procedural"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1, help="designs asked for before any is told")
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=HERE / "real.csv")
    given = parser.parse_args()
    record, space = Record(given.out, KEYS), load_space(HERE / "real.yaml")
    probes = read_probes()
    for data in given.data:
        problem = RealProblem(space, data)
        if not record.done("best", data, 0, 1):
            volume = f"{problem.best:.5f}"
            record.add(("best", data, 0, 1), [[str(len(problem.table)), volume, volume, "0", "0", "0", "0"]])
        for label in given.samplers:
            start, last = time.perf_counter(), []
            for seed in range(given.seeds):
                key = (label, data, seed, given.batch)
                if record.done(*key):
                    continue
                sampler = make(label, space, OBJECTIVES, seed)
                if isinstance(sampler, GasSampler):
                    sampler.probes = probes
                rows = list(search(problem, sampler, given.evaluations, given.batch))
                record.add(key, rows)
                last.append(float(rows[-1][1]) / problem.best)
            if last:
                told = f"mean {np.mean(last):.4f} of {len(last)}, {time.perf_counter() - start:.0f} s"
                print(label, data, told, flush=True)


if __name__ == "__main__":
    main()
