"""Counts feasible proposals: 10,000 per generator and space, each placed and counted by the planner.

    PYTHONPATH=. python experiments/generators/feasible.py [--proposals 10000]

Writes feasible.csv: generator, space, proposals, feasible, ms_per_proposal_median (searches of 200 evaluations).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

from gas.evaluation import Constraint, Evaluation, Objective, Status
from gas.generators import GENERATORS, create
from gas.plan import plan
from gas.space import SearchSpace, load_space

OBJECTIVES = (Objective("depth", maximise=True), Objective("macs"))
SEARCH = 200


def count(space: SearchSpace, name: str, proposals: int) -> tuple[int, float]:
    """Feasible proposals among `proposals`, and the median milliseconds of one."""
    feasible, times, done = 0, [], 0
    for seed in range(-(-proposals // SEARCH)):
        generator = create(name, space, OBJECTIVES, seed)
        for _ in range(min(SEARCH, proposals - done)):
            start = time.perf_counter()
            (candidate,) = generator.ask(1)
            times.append(time.perf_counter() - start)
            cost = plan(candidate.architecture).cost
            metrics = {"macs": cost.macs, "params": cost.params, "depth": sum(candidate.architecture.depths)}
            feasible += all(_kept(c, metrics) for c in space.budgets)
            generator.tell(Evaluation(candidate, Status.OK, metrics))
            done += 1
    return feasible, 1e3 * statistics.median(times)


def _kept(constraint: Constraint, metrics: dict[str, float]) -> bool:
    return constraint.violation(metrics[constraint.metric]) == 0


def main() -> None:
    """Runs all generators on both bundled spaces."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proposals", type=int, default=10_000)
    proposals = parser.parse_args().proposals
    with Path(__file__).with_name("feasible.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["generator", "space", "proposals", "feasible", "ms_per_proposal_median"])
        for space_name in ("tiny", "turbovit"):
            space = load_space(space_name)
            for name in GENERATORS:
                feasible, ms = count(space, name, proposals)
                out.writerow([name, space_name, proposals, feasible, f"{ms:.2f}"])
                file.flush()
                print(f"{name:10} {space_name:10} {feasible}/{proposals} feasible, {ms:.2f} ms")


if __name__ == "__main__":
    main()
