"""Published top-1 of the zoo's networks, as a truth: zoo.csv, from the table that the estimate is fitted to.

    python experiments/proxy_validation/zoo.py

A row per network with a published ImageNet-1k top-1; the figure of a plain training (some 300 epochs, no teacher) where
there is one, else the one there is, as `recipe` says. Also writes what the estimate says of each when its family is
left out to scores-zoo.csv, in place of the estimate's own score, which has seen these networks. Sources of every
figure: experiments/imagenet_estimate/truth.csv.
"""

from __future__ import annotations

import csv
from pathlib import Path

import gas
from gas.evidence.scoring import COLUMNS as SCORES

HERE = Path(__file__).parent
TABLES = Path(gas.__file__).parent / "estimates"
COLUMNS = ("id", "name", "family", "recipe", "top1", "macs", "params", "design")
ESTIMATE = "imagenet_top1_estimate"


def main() -> None:
    """Writes both files."""
    with (TABLES / "left_out.csv").open(newline="") as file:
        left_out = {row["name"]: row["top1"] for row in csv.DictReader(file)}
    with (TABLES / "table.csv").open(newline="") as file:
        listed = [row for row in csv.DictReader(file) if row["zoo"]]
    rows, scores = [], []
    for row in sorted(listed, key=lambda row: row["recipe"] != "plain"):
        if any(row["zoo"] == other[1] for other in rows):
            continue
        design = gas.load(row["zoo"])
        cost = gas.cost(design)
        told = [row["zoo"], row["family"], row["recipe"], row["top1"]]
        rows.append([design.id, *told, cost.macs, cost.params, design.to_json()])
        # Distilled and pre-trained networks are estimated by their own recipe, as they were published.
        scores.append([design.id, ESTIMATE, left_out[row["name"]], "", "", ""])
    with (HERE / "zoo.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    path, kept = HERE / "scores-zoo.csv", []
    if path.exists():
        with path.open(newline="") as file:
            kept = [row for row in list(csv.reader(file))[1:] if row[1] != ESTIMATE]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([SCORES, *scores, *kept])


if __name__ == "__main__":
    main()
