"""How many designs are predicted a second, from the array form and one by one? Needs the profiles that run.py makes.

    PYTHONPATH=. python experiments/latency_predictor/throughput.py

Writes throughput.csv: medians of 9 interleaved rounds with quartiles, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gas.costs import LatencyTable, Profile, profile_path
from gas.costs.targets import create
from gas.space import load_space

HERE = Path(__file__).parent
MANY, FEW, ROUNDS = 1_000_000, 300, 9


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Times both ways in turns on each space."""
    torch.set_num_threads(1)
    rows = []
    for name in ("turbovit", "hybrid"):
        space = load_space(f"{name}.yaml")
        table = LatencyTable.on(create("cpu_eager"))
        profile = Profile.load(profile_path(space, table), table)
        began = time.perf_counter()
        columns = space.arrays.price(profile.price)
        prepared = time.perf_counter() - began
        many = space.sample_feasible(MANY, 0)
        few = [many[i] for i in range(FEW)]
        told = space.arrays.total(many.rows, columns)
        worst = max(abs(told[i] / profile.predict(design).ms - 1) for i, design in enumerate(few))
        ways = {
            "arrays": lambda many=many, columns=columns, space=space: space.arrays.total(many.rows, columns),
            "one by one": lambda few=few, profile=profile: [profile.predict(design) for design in few],
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, work in ways.items():
                taken[way].append(seconds(work))
        for way, count in (("arrays", MANY), ("one by one", FEW)):
            q1, median, q3 = np.percentile(count / np.array(taken[way]), (25, 50, 75))
            rows.append({"space": name, "way": way, "designs_per_s": median, "q1": q1, "q3": q3})
            rows[-1] |= {"prepare_s": prepared if way == "arrays" else 0.0, "largest_difference": worst}
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "throughput.csv", index=False, float_format="%.4g")
    print(table.to_string())


if __name__ == "__main__":
    main()
