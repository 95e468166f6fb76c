"""Are the comparisons fair: is our module of a published design as fast as its public implementation?

Each design of the zoo that has a public implementation runs interleaved with it and with itself folded: public / ours,
both as they are trained; public / folded; and ours / folded, which is what folding gains. Ratios of medians with their
95% intervals. Eager, one CPU thread, batch 1. Writes public.csv beside this file. Needs what the parity tests need
(`make env`).

    PYTHONPATH=.:tests python experiments/seed_claims/public.py
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import conftest
import torch
from torch import nn
from zoo.pairing import references

from gas.costs.measure import measure, ratio
from gas.model import build, fuse
from gas.space import load

HERE = Path(__file__).parent
SECONDS = 4.0


def runner(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """Runs the model in evaluation mode."""
    model.eval()
    return lambda: model(images)


def main() -> None:
    """Measures all of them."""
    conftest._make_torchvision_importable()
    rows = []
    for name, reference in references().items():
        design = load(f"zoo/{name}")
        images = torch.randn(1, 3, design.resolution, design.resolution)
        ours = build(design, seed=0)
        runs = {"public": runner(reference.make(), images), "ours": runner(ours, images)}
        runs["folded"] = runner(fuse(ours), images)
        timings = measure(runs, seconds=SECONDS, tolerance=0.01)
        row = {"name": name, **{f"{key}_ms": round(t.median_ms, 3) for key, t in timings.items()}}
        for slow, fast in (("public", "ours"), ("public", "folded"), ("ours", "folded")):
            found = ratio(timings[slow], timings[fast])
            row |= {f"{slow}/{fast}": round(found.value, 3)}
            row |= {f"{slow}/{fast} low": round(found.low, 3), f"{slow}/{fast} high": round(found.high, 3)}
        rows.append({**row, "rounds": timings["ours"].repeats})
        print(row, flush=True)
    with (HERE / "public.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
