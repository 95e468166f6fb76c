"""Compares the generators on a made-up accuracy over turbovit.yaml with exact macs and params.

    PYTHONPATH=. python experiments/generators/compare.py

Writes compare.csv: generator, seed, evaluations, hypervolume, relative (to the best known), ms_per_proposal.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

from problem import OBJECTIVES, evaluate, volume

from gas.evaluation import Evaluation
from gas.generators import GENERATORS, create
from gas.space import SearchSpace, load_space

SEEDS = range(10)
AFTER = (100, 300)
LONG = 10_000  # evaluations of the long runs of evolution that say what is possible


def search(space: SearchSpace, name: str, seed: int, n: int, **options: float) -> tuple[list[Evaluation], float]:
    """`n` evaluations, one candidate out at a time, and the milliseconds per proposal."""
    generator, evaluations, seconds = create(name, space, OBJECTIVES, seed, **options), [], 0.0
    for _ in range(n):
        start = time.perf_counter()
        (candidate,) = generator.ask(1)
        seconds += time.perf_counter() - start
        evaluations.append(evaluate(candidate))
        generator.tell(evaluations[-1])
    return evaluations, 1e3 * seconds / n


def main() -> None:
    """Runs all generators with all seeds, and the long runs."""
    space = load_space("turbovit")
    limits = {c.metric: c.high for c in space.budgets}
    rows, everything = [], []
    for seed in range(100, 102):
        everything += search(space, "evolution", seed, LONG, population=200, start=100)[0]
    for name in GENERATORS:
        for seed in SEEDS:
            evaluations, ms = search(space, name, seed, max(AFTER))
            everything += evaluations
            rows += [[name, seed, n, volume(evaluations[:n], limits), ms] for n in AFTER]
        print(name, "done", flush=True)
    best = volume(everything, limits)
    with Path(__file__).with_name("compare.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["generator", "seed", "evaluations", "hypervolume", "relative", "ms_per_proposal"])
        out.writerows([g, s, n, f"{v:.5f}", f"{v / best:.4f}", f"{ms:.2f}"] for g, s, n, v, ms in rows)
    for name in GENERATORS:
        for n in AFTER:
            found = sorted(v / best for g, _, k, v, _ in rows if (g, k) == (name, n))
            print(f"{name:10} after {n}: mean {sum(found) / len(found):.3f}, {found[0]:.3f} to {found[-1]:.3f}")
    print(f"best known hypervolume: {best:.5f}")


if __name__ == "__main__":
    main()
