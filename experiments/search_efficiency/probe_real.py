"""Probes every trained design, and asks whether growth pays where the probes point.

    PYTHONPATH=. python experiments/search_efficiency/probe_real.py

Writes real-probes.csv (id, block, stage and the readings; networks as they are initialised, one thread, a minute) and
probes_point.csv: per data set, how a stage's need (logarithm of its share of the saliency over its share of the macs)
goes with what growing that stage by one step of one decision was worth, in points of accuracy per percent of macs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from gas.architecture import Architecture
from gas.probes import probe
from gas.space import load_space

HERE = Path(__file__).parent
ROUNDS = 1000  # of the bootstrap over designs


def probed() -> pd.DataFrame:
    """A row per block of every trained design."""
    path = HERE / "real-probes.csv"
    if path.exists():
        return pd.read_csv(path)
    designs = pd.read_csv(HERE / "real-digits.csv").drop_duplicates("id")
    rows = []
    for text in designs["design"]:
        design = Architecture.from_json(text)
        for number, block in enumerate(probe(design)):
            rows.append({"id": design.id, "block": number, **{k: round(v, 5) for k, v in block.items()}})
    frame = pd.DataFrame(rows)
    frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    return frame


def steps(data: str, needs: pd.DataFrame) -> Iterator[tuple[str, int, float, float]]:
    """(design, stage, need, worth) for every step up of one decision that leads to another trained design."""
    space = load_space(HERE / "real.yaml")
    table = pd.read_csv(HERE / f"real-{data}.csv")
    accuracy = 100 * table.groupby("id")["accuracy"].mean()
    table = table.drop_duplicates("id")
    designs = space.designs(architectures=[Architecture.from_json(text) for text in table["design"]])
    places = {tuple(codes): k for k, codes in enumerate(designs.codes.tolist())}
    stages = [int(d.path[7]) if d.path.startswith("stages[") else -1 for d in space.decisions]
    ids, macs = table["id"].to_list(), designs.macs
    for codes, k in places.items():
        for decision, stage in enumerate(stages):
            if stage < 0 or not space.decisions[decision].ordered:
                continue
            other = places.get((*codes[:decision], codes[decision] + 1, *codes[decision + 1 :]))
            if other is None:
                continue
            cost = 100 * (macs[other] / macs[k] - 1)
            if cost > 0:
                yield ids[k], stage, needs.loc[ids[k], stage], (accuracy[ids[other]] - accuracy[ids[k]]) / cost


def main() -> None:
    """Writes both tables and prints the second."""
    torch.set_num_threads(1)
    blocks = probed().dropna(subset="saliency")
    shares = blocks.groupby(["id", "stage"])[["saliency", "macs_share"]].sum()
    shares /= shares.groupby("id").transform("sum")
    needs = np.log((shares["saliency"] + 0.01) / (shares["macs_share"] + 0.01)).unstack()
    rows = []
    for data in ("digits", "procedural"):
        frame = pd.DataFrame(steps(data, needs), columns=["id", "stage", "need", "worth"])
        groups = [part for _, part in frame.groupby("id")]
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(ROUNDS):
            some = pd.concat([groups[k] for k in rng.integers(len(groups), size=len(groups))])
            drawn.append(spearmanr(some["need"], some["worth"])[0])
        # Within one design: is the stage in most need the one whose growth is worth most?
        means = frame.groupby(["id", "stage"])[["need", "worth"]].mean().reset_index()
        best = means.loc[means.groupby("id")["need"].idxmax()].set_index("id")["stage"]
        right = means.loc[means.groupby("id")["worth"].idxmax()].set_index("id")["stage"]
        chance = (1 / means.groupby("id").size()).mean()
        low, high = np.quantile(drawn, [0.05, 0.95])
        found = {"data": data, "steps": len(frame), "spearman": spearmanr(frame["need"], frame["worth"])[0]}
        found |= {"low": low, "high": high, "stage_right": (best == right).mean(), "by_chance": chance}
        rows.append({k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()})
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "probes_point.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
