"""Which fidelity of short training ranks TurboViT-like designs in a way that means something, within 9 s each?

    python experiments/default_proxy/run.py --out scores.csv --fidelity '{"images": 8192}' --data procedural
    python experiments/default_proxy/run.py --out scores.csv --summary

The first form scores random designs on one thread and appends a row per design and seed; the second reads the rows
and prints, per fidelity: CPU seconds per score, Kendall's tau with params and macs, and how much the scores differ
between designs against how much they differ between seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.plan import plan
from gas.proxies import create
from gas.space import load_space

COLUMNS = (
    *("designs", "proxy", "data", "fidelity", "design", "dims", "depths", "params", "macs"),
    *("seed", "score", "loss", "seconds"),
)


def random_design(rng: np.random.Generator) -> Architecture:
    """A four-stage design of 3 to 13 M params and 0.5 to 2.2 G macs at 224 pixels, every choice uniform."""
    while True:
        head_dim = int(rng.choice([32, 48, 64, 96]))
        heads = [int(rng.integers(1, 3))]
        for _ in range(3):
            heads.append(int(rng.integers(heads[-1], 2 * heads[-1] + 2)))
        depths = [int(rng.integers(low, high + 1)) for low, high in ((1, 3), (1, 4), (2, 12), (1, 3))]
        ratio = float(rng.choice([2.0, 3.0, 4.0]))
        attention = ["mask_unit_attention"] * 2 + [str(rng.choice(["mask_unit_attention", "global_attention"]))]
        unit = int(rng.choice([4, 8]))
        stages = []
        for index, (count, depth) in enumerate(zip(heads, depths, strict=True)):
            name = attention[index] if index < 3 else "global_attention"
            scope = {"mask_unit": unit} if name == "mask_unit_attention" else {}
            block = Spec.of(
                "transformer", mixer=Spec.of(name, head_dim=head_dim, **scope), mlp=Spec.of("mlp", ratio=ratio)
            )
            stages.append(Stage(head_dim * count, (Group(block, depth),), Spec.of("q_pool") if index else None))
        stem = Spec.of("conv_embed", dim=int(rng.choice([32, 48, 64, 96])))
        design = Architecture(stem, tuple(stages), Spec.of("classifier"))
        try:
            cost = plan(design).cost
        except DesignError:
            continue
        if 3e6 <= cost.params <= 13e6 and 0.5e9 <= cost.macs <= 2.2e9:
            return design


def score(options: argparse.Namespace) -> None:
    """Appends one row per design and seed to the file, each as soon as it is there."""
    rng = np.random.default_rng(options.sample)
    if options.space:
        designs = load_space(options.space).sample(options.designs, rng, feasible=True)
    else:
        designs = [random_design(rng) for _ in range(options.designs)]
    proxy = create(options.proxy, {"data": options.data, "fidelity": json.loads(options.fidelity)})
    proxy.prepare()
    fresh = not options.out.exists()
    with options.out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if fresh:
            writer.writeheader()
        for design in designs:
            cost = plan(design).cost
            for seed in range(options.seeds):
                begun = time.process_time()
                metrics = proxy.score(design, seed=seed)
                row = {
                    "designs": options.space or "uniform",
                    "proxy": options.proxy,
                    "data": proxy.data,
                    "fidelity": proxy.fidelity.to_json(),
                    "design": design.id,
                    "dims": "-".join(map(str, design.dims)),
                    "depths": "-".join(map(str, design.depths)),
                    "params": cost.params,
                    "macs": cost.macs,
                    "seed": seed,
                    "score": round(metrics[options.proxy], 5),
                    "loss": round(metrics.get(f"{options.proxy}_loss", float("nan")), 5),
                    "seconds": round(time.process_time() - begun, 2),
                }
                writer.writerow(row)
                file.flush()


def summarise(path: Path) -> None:
    """Prints one line per proxy, data and fidelity."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = defaultdict(list)
    for row in rows:
        groups[row["designs"], row["proxy"], row["data"], row["fidelity"]].append(row)
    for (designs, proxy, data, fidelity), members in groups.items():
        print(f"{proxy} on {data} at {fidelity}, {designs} designs\n    {describe(members)}")


def describe(rows: list[dict[str, str]]) -> str:
    """Figures of one fidelity; a design's score is its mean over the seeds."""
    by_design = defaultdict(list)
    for row in rows:
        by_design[row["design"]].append(row)
    means = {d: statistics.fmean(float(r["score"]) for r in members) for d, members in by_design.items()}
    # For proxies without a loss these are NaN, and so is their tau.
    losses = {d: -statistics.fmean(float(r["loss"]) for r in members) for d, members in by_design.items()}
    params = [float(by_design[d][0]["params"]) for d in means]
    macs = [float(by_design[d][0]["macs"]) for d in means]
    scores = list(means.values())
    first = [float(members[0]["score"]) for members in by_design.values()]
    parts = [
        f"n {len(means)}, {statistics.fmean(float(r['seconds']) for r in rows):.1f} s",
        f"tau params {kendalltau(scores, params).statistic:.2f}, macs {kendalltau(scores, macs).statistic:.2f}",
        f"first seed alone {kendalltau(first, params).statistic:.2f}, {kendalltau(first, macs).statistic:.2f}",
        f"by loss {kendalltau(list(losses.values()), params).statistic:.2f}",
        f"scores {min(scores):.3f} to {max(scores):.3f}, sd {statistics.stdev(scores):.4f}",
    ]
    pairs = [[float(r["score"]) for r in members] for members in by_design.values() if len(members) > 1]
    if pairs:
        noise = statistics.fmean(statistics.variance(p) for p in pairs) ** 0.5
        seeds = kendalltau([p[0] for p in pairs], [p[1] for p in pairs]).statistic
        parts.append(f"seed sd {noise:.4f}, tau between seeds {seeds:.2f}")
    return "; ".join(parts)


def main(arguments: list[str] | None = None) -> None:
    """Scores designs, or summarises what was scored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV file to append to, or to summarise")
    parser.add_argument("--summary", action="store_true", help="print the figures of what the file holds")
    parser.add_argument("--proxy", default="short_training")
    parser.add_argument("--data", default=None, help="digits, procedural or a folder; the proxy's own by default")
    parser.add_argument("--fidelity", default="{}", help="JSON: fields that differ from the proxy's default")
    parser.add_argument("--space", help="draw feasible designs from this search space instead")
    parser.add_argument("--designs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sample", type=int, default=0, help="seed of the random designs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.summary:
        summarise(options.out)
    else:
        score(options)


if __name__ == "__main__":
    sys.exit(main())
