"""Does a design's latency depend on what its process ran before? With glibc's allocator as it is, and keeping memory.

    PYTHONPATH=. python experiments/latency_predictor/allocator.py

Each figure is of a fresh process: one design, alone or after another that needs larger tensors. Writes allocator.csv.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from gas.space import load_space

HERE = Path(__file__).parent
DESIGNS, REPEATS = 6, 1
BEFORE = "hiera_tiny"
CHILD = """
import json, resource, sys, time
import torch
from gas.architecture import Architecture
from gas.costs.allocator import keep_memory
from gas.model import build, fuse
from gas.space import load
torch.set_num_threads(1)
text, how, before = sys.argv[1:4]
if how == "kept":
    assert keep_memory()

def run(design, calls):
    module, images = fuse(build(design, seed=0)), torch.zeros(1, 3, design.resolution, design.resolution)
    taken, faults = [], resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(calls):
        start = time.thread_time()
        module(images)
        taken.append(1e3 * (time.thread_time() - start))
    return sorted(taken[3:])[(calls - 3) // 2], (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / calls

with torch.inference_mode():
    if before:
        run(load(before), 4)
    print(json.dumps(run(Architecture.from_json(text), 14)))
"""


def main() -> None:
    """Measures every design in every condition, in turns, and prints medians."""
    designs = load_space("hybrid.yaml").sample(DESIGNS, 11, feasible=True)
    rows = []
    for repeat in range(REPEATS):
        for design in designs:
            for how in ("plain", "kept"):
                for before in ("", BEFORE):
                    command = [sys.executable, "-c", CHILD, design.to_json(), how, before]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    ms, faults = json.loads(done.stdout)
                    rows.append({"design": design.id, "allocator": how, "ran_before": before or "nothing", "ms": ms})
                    rows[-1] |= {"page_faults": faults, "repeat": repeat}
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "allocator.csv", index=False, float_format="%.5g")
    middle = table.groupby(["design", "allocator", "ran_before"])[["ms", "page_faults"]].median().unstack([1, 2])
    print(middle.round(1).to_string())
    ms = middle["ms"]
    for how in ("plain", "kept"):
        ratio = ms[how]["nothing"] / ms[how][BEFORE]
        print(how, "alone / after another:", np.round(ratio.quantile([0, 0.5, 1]).to_list(), 3))
    gain = ms["plain"]["nothing"] / ms["kept"]["nothing"]
    print("plain / kept, alone:", np.round(gain.quantile([0, 0.5, 1]).to_list(), 3))


if __name__ == "__main__":
    main()
