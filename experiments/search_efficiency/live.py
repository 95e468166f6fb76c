"""Live searches of turbovit.yaml: whole runs of `gas search`, each design built and scored by a proxy.

    PYTHONPATH=. python experiments/search_efficiency/live.py inquisitor evolution random --seeds 0 1

Appends to live.csv: generator, seed, number, status, blend, macs, latency_ms_predicted, origin. The runs themselves go
to --out and may be resumed; one thread, about 3 s an evaluation on a quiet core. `summary` prints the hypervolume over
all three, below the worst blend of all runs and the bounds, relative to all runs together.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd

import gas
from gas import pareto

HERE = Path(__file__).parent
OBJECTIVES = ["blend", "macs", "latency_ms_predicted"]
BUDGET, STEPS = 32, 64
AFTER = (12, 16, 24, 32)


def name_of(generator: str) -> tuple[str, dict[str, bool]]:
    """`inquisitor:probes=false` -> the generator and its options."""
    name, _, rest = generator.partition(":")
    return name, {key: value == "true" for key, value in (part.split("=") for part in rest.split("+") if part)}


def run(generator: str, seed: int, out: Path) -> pd.DataFrame:
    """All candidates of one search."""
    name, options = name_of(generator)
    folder = out / f"{generator.replace(':', '-')}-{seed}"
    settings = {"generator": name, "generator_options": options, "budget": BUDGET, "seed": seed}
    done = (folder / "run.json").exists()
    found = gas.search(
        "turbovit.yaml", out=folder, resume=done, fidelity={"steps": STEPS}, profile="none", seconds=None, **settings
    )
    frame = found.frame()
    return frame.assign(generator=generator, seed=seed)[
        ["generator", "seed", "number", "status", *OBJECTIVES, "origin"]
    ]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Hypervolume of each run after so many evaluations, as a share of that of all runs together."""
    done = frame[frame["status"] == "ok"]
    losses = done[OBJECTIVES].to_numpy(float) * np.array([-1, 1, 1])
    low, high = losses.min(axis=0), losses.max(axis=0)
    done = done.assign(order=done.groupby(["generator", "seed"]).cumcount())
    scaled = pd.DataFrame((losses - low) / (high - low), index=done.index)
    most = pareto.hypervolume(scaled.to_numpy(), np.ones(3))
    rows = []
    for (generator, seed), part in done.groupby(["generator", "seed"]):
        for after in AFTER:
            some = scaled.loc[part.index[part["order"] < after]].to_numpy()
            best = part[part["order"] < after]["blend"].max()
            share = pareto.hypervolume(some, np.ones(3)) / most
            rows.append({"generator": generator, "seed": seed, "after": after, "share": share, "best_blend": best})
    return pd.DataFrame(rows)


def main() -> None:
    """Runs what live.csv lacks, then prints the summary."""
    parser = argparse.ArgumentParser()
    parser.add_argument("generators", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/live"))
    given = parser.parse_args()
    path = HERE / "live.csv"
    for seed in given.seeds:
        for generator in given.generators:
            known = pd.read_csv(path) if path.exists() else pd.DataFrame({"generator": [], "seed": []})
            if ((known["generator"] == generator) & (known["seed"] == seed)).any():
                continue
            frame = run(generator, seed, given.out)
            frame.to_csv(path, mode="a", header=not path.exists(), index=False, quoting=csv.QUOTE_MINIMAL)
    told = summary(pd.read_csv(path)).round(4)
    print(told.pivot_table(index=["generator", "seed"], columns="after", values="share"))
    told.to_csv(HERE / "live_summary.csv", index=False)


if __name__ == "__main__":
    main()
