"""Two searches that differ in the ladder alone: wall time, and what each chooses.

    OMP_NUM_THREADS=1 PYTHONPATH=. python experiments/fidelities/live.py digits      # and procedural

The generator `random` proposes the same designs of tiny.yaml to both, in the same order; two Ray workers; 400 steps,
or rungs at 50, 100 and 200 of them with eta 2. One after the other, twice, in turns. Adds rows to live.csv.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

from gas.session import search

CSV = Path(__file__).with_name("live.csv")
COLUMNS = ("data", "ladder", "turn", "designs", "wall_s", "worker_s", "stopped", "chosen", "score", "front")
LADDER = ({"steps": 50}, {"steps": 100}, {"steps": 200})
FIDELITY = {
    "digits": {"noise": 1.5, "images": 1024, "validation": 512, "classes": None},
    "procedural": {"classes": 32, "images": 2048, "validation": 512},
}


def main() -> None:
    """Runs the searches and adds their rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=FIDELITY)
    parser.add_argument("--designs", type=int, default=32)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    fidelity = {"steps": 400, "width": 0.5, **FIDELITY[given.data]}
    settings = {"proxy": "short_training", "generator": "random", "budget": given.designs, "workers": 2, "seed": 0}
    fresh = not CSV.exists()
    with CSV.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if fresh:
            out.writerow(COLUMNS)
        for turn in range(given.turns):
            for ladder in ((), LADDER):
                with tempfile.TemporaryDirectory() as folder:
                    began = time.perf_counter()
                    more = {"data": given.data, "fidelity": fidelity, "ladder": ladder}
                    run = search("tiny.yaml", out=Path(folder) / "run", **settings, **more)
                    wall = time.perf_counter() - began
                    frame, front = run.frame(), run.front()
                best = frame.loc[frame["short_training"].idxmax()]
                row = (given.data, len(ladder), turn, given.designs, f"{wall:.1f}", f"{frame['seconds'].sum():.1f}")
                row += (
                    int((frame["status"] == "stopped").sum()),
                    best["id"],
                    f"{best['short_training']:.4f}",
                    len(front),
                )
                out.writerow(row)
                file.flush()
                print(dict(zip(COLUMNS, row, strict=True)), flush=True)


if __name__ == "__main__":
    main()
