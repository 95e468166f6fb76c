"""Replays ladders on the trainings of train.py: what they save, and what they choose.

    PYTHONPATH=. python experiments/fidelities/replay.py

The designs of rungs-DATA.csv come in 200 random orders, one after another, to a ladder (`gas.ladder.Ladder`, as a
search uses it); in full they are the rows of search_efficiency/real-DATA.csv. Writes ladders.csv: per data set, rungs
and eta, medians and quartiles over the orders of

- time: worker time as a share of that of training every design to the end (seconds of the rungs as measured; the last
  200 steps take as long as the 200 before them, which is counted for both);
- regret: accuracy of the best design of all less that of the best that the ladder trained to the end, in points;
- hypervolume: of the front (accuracy, macs, params) of the designs trained to the end, as a share of that of all;

and `same`, the share of the orders in which the ladder's final choice is the best design of all; and per rung the rank
correlation (Kendall) of its accuracies with those at the end. Standard output is the tables of the README.
"""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from gas.ladder import Ladder
from gas.pareto import hypervolume

HERE = Path(__file__).parent
TRUTH = HERE.parent / "search_efficiency"
ORDERS = 200
FULL = 400
CASES = [
    ((50, 100, 200), 2),
    ((50, 100, 200), 3),
    ((100, 200), 2),
    ((100, 200), 3),
    ((100,), 3),
    ((200,), 3),
    ((25, 100), 4),
]
COLUMNS = ("data", "rungs", "eta", "designs", "time", "time_q1", "time_q3", "same", "regret", "regret_q1", "regret_q3",
           "hypervolume", "hypervolume_q1", "hypervolume_q3", "trained_to_the_end")  # fmt: skip


def tables(data: str) -> tuple[dict[str, dict], dict[str, dict[int, tuple[float, float]]]]:
    """Per design what it comes to at the end, and accuracy and seconds at each rung."""
    with (TRUTH / f"real-{data}.csv").open(newline="") as file:
        truth = {
            r["id"]: {k: float(r[k]) for k in ("accuracy", "macs", "params")}
            for r in csv.DictReader(file)
            if r["seed"] == "0"
        }
    rungs: dict[str, dict[int, tuple[float, float]]] = {}
    with (HERE / f"rungs-{data}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rungs.setdefault(row["id"], {})[int(row["steps"])] = float(row["accuracy"]), float(row["seconds"])
    return {id: truth[id] for id in rungs}, rungs


def replay(order: list[str], truth: dict, rungs: dict, steps: tuple[int, ...], eta: float) -> tuple[list[str], float]:
    """The designs that a ladder trains to the end, and its worker time, seconds."""
    measured = sorted(next(iter(rungs.values())))
    ladder = Ladder(len(steps) + 1, eta)
    ended, seconds = [], 0.0
    for number, id in enumerate(order):
        below = 0
        for rung, step in enumerate(steps):
            seconds += sum(rungs[id][s][1] for s in measured if below < s <= step)
            below = step
            losses = (-rungs[id][step][0], truth[id]["macs"], truth[id]["params"])
            ladder.record(rung, number, {}, losses)
            if not ladder.goes_on(rung, losses):
                break
        else:
            seconds += sum(rungs[id][s][1] for s in measured if below < s) + rungs[id][measured[-1]][1]
            ended.append(id)
    return ended, seconds


def volume(ids: list[str], truth: dict) -> float:
    """Hypervolume of some designs; costs as shares of the greatest, accuracy from 0."""
    most = {name: max(row[name] for row in truth.values()) for name in ("macs", "params")}
    points = [
        [-truth[i]["accuracy"], truth[i]["macs"] / most["macs"], truth[i]["params"] / most["params"]] for i in ids
    ]
    return hypervolume(np.array(points), np.array([0.0, 1.0, 1.0]))


def main() -> None:
    """Writes ladders.csv and prints the tables."""
    rows = []
    for data in ("digits", "procedural"):
        truth, rungs = tables(data)
        ids = sorted(truth)
        best = max(ids, key=lambda id: truth[id]["accuracy"])
        for step in sorted(rungs[ids[0]]):
            tau = kendalltau([rungs[id][step][0] for id in ids], [truth[id]["accuracy"] for id in ids]).statistic
            print(f"{data}: after {step} of {FULL} steps, {len(ids)} designs: tau {tau:.2f}")
        tau = kendalltau([truth[id]["params"] for id in ids], [truth[id]["accuracy"] for id in ids]).statistic
        print(f"{data}: params alone: tau {tau:.2f}")
        whole = volume(ids, truth)
        for steps, eta in CASES:
            found = []
            for seed in range(ORDERS):
                order = random.Random(seed).sample(ids, len(ids))
                ended, seconds = replay(order, truth, rungs, steps, eta)
                _, full = replay(order, truth, rungs, (), eta)
                top = max(truth[id]["accuracy"] for id in ended)
                found.append(
                    (seconds / full, 100 * (truth[best]["accuracy"] - top), volume(ended, truth) / whole, len(ended))
                )
            spread = np.quantile(np.array(found), [0.5, 0.25, 0.75], axis=0)
            same = sum(math.isclose(regret, 0.0, abs_tol=1e-9) for _, regret, _, _ in found) / ORDERS
            rows.append(
                (
                    data,
                    "+".join(map(str, steps)),
                    eta,
                    len(ids),
                    *spread[:, 0],
                    same,
                    *spread[:, 1],
                    *spread[:, 2],
                    spread[0, 3],
                )
            )
    with (HERE / "ladders.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        out.writerows([v if isinstance(v, str | int) else f"{v:.4f}" for v in row] for row in rows)
    print("\n| data | rungs (of 400 steps) | eta | worker time | same choice | regret, points | hypervolume |")
    print("|---|---|---|---|---|---|---|")
    for data, steps, eta, _, time, t1, t3, same, regret, r1, r3, volume_, v1, v3, _ in rows:
        print(
            f"| {data} | {steps.replace('+', ', ')} | {eta} | {time:.2f} ({t1:.2f} to {t3:.2f}) | {same:.0%} | "
            f"{regret:.2f} ({r1:.2f} to {r3:.2f}) | {volume_:.3f} ({v1:.3f} to {v3:.3f}) |"
        )


if __name__ == "__main__":
    main()
