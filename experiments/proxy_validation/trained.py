"""Short trainings held against the truth of truth.py: which of them ranks designs of equal macs?

    python experiments/proxy_validation/trained.py run small --minutes 30    # and medium; rows that are there are kept
    python experiments/proxy_validation/trained.py report

`run` writes trained-SPACE.csv, a row per number: id, score, value, seconds (CPU time of the training, once per score).
One thread. `quarter` goes through all designs, then each other score through the first 40. Losses stand as they are:
the report turns their sign. All at the full width and the rate of the truth, 2e-3; micro-tasks at 32 pixels.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path
from statistics import mean

import torch
from scipy.stats import kendalltau
from truth import RECIPE, TRUTH

from gas.architecture import Architecture
from gas.proxies import Proxy, create

HERE = Path(__file__).parent
DESIGNS = 40
QUARTER = "quarter"
"""The truth's own training, stopped after a quarter of its steps (its rate falls to 0 by then), from another seed."""
COLUMNS = ("id", "score", "value", "seconds")
MICRO = {"steps": 100, "resolution": 32}


def scores(space: str) -> dict[str, tuple[str, str | None, dict]]:
    """Name -> proxy, data and fidelity, in the order of running."""
    same, truth = TRUTH[space]
    side = {"resolution": truth["resolution"]}
    other = {"images": 2048, "validation": 512, "classes": 32, **side}
    foreign = "procedural" if same == "digits" else "digits"
    return {
        QUARTER: ("short_training", same, {**truth, "steps": truth["steps"] // 4}),
        "pca_count": ("pca_count", None, {}),
        "same_100": ("short_training", same, {**truth, "steps": 100}),
        "micro_digits": ("micro_tasks", "digits", MICRO),
        "contours_100": ("short_training", "contours", {**other, "steps": 100}),
        f"{foreign}_100": ("short_training", foreign, {**other, "classes": None, "steps": 100}),
        "micro_contours": ("micro_tasks", "contours", {**MICRO, "images": 4096}),
        "same_200": ("short_training", same, {**truth, "steps": 200}),
    }


def run(space: str, minutes: float) -> None:
    """Scores what the table lacks, as far as the time goes."""
    torch.set_num_threads(1)
    end, path = time.monotonic() + 60 * minutes, HERE / f"trained-{space}.csv"
    designs = list(dict.fromkeys((row["id"], row["design"]) for row in _rows(f"truth-{space}.csv")))
    done = {(row["id"], row["score"]) for row in _rows(path.name)}
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(COLUMNS)
        for name, (kind, data, fidelity) in scores(space).items():
            proxy: Proxy | None = None
            for id, text in designs if name == QUARTER else designs[:DESIGNS]:
                if (id, name) in done:
                    continue
                if time.monotonic() > end:
                    return
                if proxy is None:
                    recipe = {} if kind == "pca_count" else RECIPE
                    proxy = create(kind, {"data": data, "fidelity": {**recipe, **fidelity}, "seed": 0})
                    proxy.prepare()
                began = time.process_time()
                metrics = proxy.score(Architecture.from_json(text), seed=7)
                seconds = f"{time.process_time() - began:.1f}"
                for metric, value in metrics.items():
                    out.writerow([id, metric.replace(kind, name, 1), f"{value:.6f}", seconds])
                file.flush()


def report() -> None:
    """Kendall of every number with the truth's accuracy and (turned) loss, over the designs that have both."""
    for space in TRUTH:
        truth: dict[str, list[dict[str, str]]] = {}
        for row in _rows(f"truth-{space}.csv"):
            truth.setdefault(row["id"], []).append(row)
        table: dict[str, dict[str, float]] = {
            name: {i: float(r[0][name]) for i, r in truth.items()} for name in ("macs", "params")
        }
        seconds: dict[str, list[float]] = {}
        for row in _rows(f"trained-{space}.csv"):
            sign = -1 if row["score"].endswith("_loss") else 1
            table.setdefault(row["score"], {})[row["id"]] = sign * float(row["value"])
            seconds.setdefault(row["score"], []).append(float(row["seconds"]))
        for part in ("same_100", "same_200"):
            both = table.get("pca_count", {}).keys() & table.get(f"{part}_loss", {}).keys()
            table[f"blend of {part}"] = {i: math.log(table["pca_count"][i]) + table[f"{part}_loss"][i] for i in both}
        print(f"\n{space}: {len(truth)} designs\n\n| score | n | accuracy | loss | s |\n|---|---|---|---|---|")
        for name, values in table.items():
            ids = [i for i in values if i in truth]
            if len(ids) < 8:
                continue
            taus = [
                kendalltau([values[i] for i in ids], [sign * mean(float(r[column]) for r in truth[i]) for i in ids])[0]
                for column, sign in (("accuracy", 1), ("loss", -1))
            ]
            spent = f"{mean(seconds[name]):.1f}" if name in seconds else ""
            print(f"| {name} | {len(ids)} | {taus[0]:.2f} | {taus[1]:.2f} | {spent} |")


def _rows(name: str) -> list[dict[str, str]]:
    path = HERE / name
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    parsed = commands.add_parser("run")
    parsed.add_argument("space", choices=TRUTH)
    parsed.add_argument("--minutes", type=float, default=30)
    commands.add_parser("report")
    given = parser.parse_args()
    report() if given.command == "report" else run(given.space, given.minutes)
