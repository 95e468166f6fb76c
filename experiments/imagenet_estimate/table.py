"""Counts every network of truth.csv and writes gas/estimates/table.csv, which estimates are fitted to.

python experiments/imagenet_estimate/table.py
"""

from __future__ import annotations

import csv
from pathlib import Path

from networks import counts, truth

import gas.estimates
from gas.estimates.table import PLACES

OUT = Path(gas.estimates.__file__).parent / "table.csv"


def main() -> None:
    """Writes the table anew."""
    rows = []
    for row in truth():
        structure = {name: f"{value:.6g}" if 0 < value < 1 else f"{value:.0f}" for name, value in counts(row).items()}
        rows.append({place: row[place] for place in PLACES} | structure)
    with OUT.open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0], lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    print(f"wrote {len(rows)} networks to {OUT}")


if __name__ == "__main__":
    main()
