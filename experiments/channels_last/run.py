"""Is PyTorch eager on the CPU faster with maps in the memory format channels_last?

Each design is measured in both formats, in turns, by the CPU time of the one thread that works. Writes ratios.csv
beside this file.

    PYTHONPATH=. python experiments/channels_last/run.py
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from gas.costs import ratio
from gas.costs.measure import measure
from gas.costs.targets import create
from gas.model import build, fuse
from gas.space import load

HERE = Path(__file__).parent
DESIGNS = {
    "convolutions": ("efficientnet_b0", "mobilenetv3_large", "fastvit_t8", "convnext_tiny"),
    "both": ("efficientvit_m1", "swiftformer_xs", "mobilevit_xxs", "fastervit_0"),
    "attention": ("turbovit", "hiera_tiny", "swin_tiny"),
}
BATCHES = (1, 16)
SECONDS = 12.0


def row(kind: str, name: str, batch: int) -> dict[str, object]:
    """One design at one batch size, in both formats."""
    design = load(name)
    model = fuse(build(design, seed=0))
    shape = (design.channels, design.resolution, design.resolution)
    runs = {
        str(last): create("cpu_eager", batch=batch, channels_last=last).prepare(fuse(model), shape)
        for last in (False, True)
    }
    times = measure(runs, seconds=SECONDS, clock="cpu")
    gain = ratio(times["True"], times["False"])
    with torch.inference_mode():
        first, second = (run() for run in runs.values())
    return {
        "design": name,
        "kind": kind,
        "batch": batch,
        "contiguous_ms": f"{times['False'].median_ms:.2f}",
        "channels_last_ms": f"{times['True'].median_ms:.2f}",
        "ratio": f"{gain.value:.3f}",
        "low": f"{gain.low:.3f}",
        "high": f"{gain.high:.3f}",
        "rounds": times["True"].repeats,
        "outputs_differ_by": f"{((first - second).abs().max() / first.abs().max()).item():.1e}",
    }


def main() -> None:
    """Measures and writes."""
    rows = [row(kind, name, batch) for kind, names in DESIGNS.items() for name in names for batch in BATCHES]
    with (HERE / "ratios.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for each in rows:
        print(*each.values())


if __name__ == "__main__":
    main()
