"""Every proxy against the truths of this folder, by the code of `gas validate-proxies`.

    python experiments/proxy_validation/report.py score small      # and medium, pit; scores that are there are kept
    python experiments/proxy_validation/report.py report           # of all that has been scored

The first writes scores-SPACE.csv (a row per design and proxy), the second summary-TRUTH.csv, TRUTH.png and results.csv,
the scores that the evidence speaks for. One thread.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gas.architecture import Architecture
from gas.evidence import Report, Scores, put_together, read_truth, sorted_out
from gas.evidence.assessing import TRAINED
from gas.parts import fitted_to
from gas.proxies import PROXIES
from gas.report.evidence import print_report
from gas.report.evidence_figures import plot_evidence
from gas.report.tables import to_csv

HERE = Path(__file__).parent
FILES = {"small": "truth-small.csv", "medium": "truth-medium.csv", "pit": "pit.csv", "zoo": "zoo.csv"}
# Truth: the table, its column, and which designs by their macs.
TRUTHS: dict[str, tuple[str, str, tuple[float, float] | None]] = {
    "small": ("small", "accuracy", None),
    "small-loss": ("small", "loss", None),
    "medium": ("medium", "accuracy", None),
    "medium-loss": ("medium", "loss", None),
    "pit-cifar100": ("pit", "c100_base_acc", None),
    "pit-cifar100-band": ("pit", "c100_base_acc", (0.5e9, 2e9)),
    "pit-flowers": ("pit", "flower_base_acc", None),
    "pit-flowers-band": ("pit", "flower_base_acc", (0.5e9, 2e9)),
    "zoo": ("zoo", "top1", None),
    "zoo-above-1g": ("zoo", "top1", (1e9, 1e11)),
}
# Of macs, where a truth spans several sizes; truths cut out of these are one band.
EDGES = {"pit": (0.5e9, 2e9), "zoo": (0.3e9, 1e9, 2.5e9)}
# Scores of trained.py -> what they are called in the tables.
QUARTER = {"quarter": "a quarter of the training", "quarter_loss": "a quarter of the training, by loss"}
FIELDS = ("truth", "designs", "recommended", "reason")


def main() -> None:
    """Scores, or reports."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("score", "report"))
    parser.add_argument("names", nargs="*", help="spaces to score, or truths to report on; all where none is named")
    parser.add_argument("--proxies", default="", help="score by these alone: a,b")
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = FILES if given.what == "score" else TRUTHS
    for name in given.names:
        if name not in known:
            parser.error(f"got {name}; expected one of {', '.join(known)}")
    names = given.names or [name for name in known if _exists(name, given.what)]
    proxies = tuple(name for name in given.proxies.split(",") if name)
    if given.what == "score":
        for name in names:
            score(name, proxies)
        return
    rows = []
    for name in names:
        made = report(name)
        rows.append((name, len(made.table), made.recommended, made.reason))
    with (HERE / "results.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([FIELDS, *rows])


def score(name: str, proxies: tuple[str, ...] = ()) -> None:
    """Adds what a table of scores lacks."""
    column = next(column for space, column, _ in TRUTHS.values() if space == name)
    designs, _, _ = read_truth(HERE / FILES[name], column)
    settings = {proxy: settings_of(proxy, designs) for proxy in sorted_out(proxies)[0]}
    Scores(HERE / f"scores-{name}.csv").score(designs, settings, watch=_tell)


def settings_of(name: str, designs: list[Architecture]) -> dict[str, Any]:
    """Of a proxy, as a search over these designs would run it."""
    proxy = PROXIES.get(name)
    side = max(design.resolution for design in designs)
    return {"data": proxy.default_data, "fidelity": fitted_to(proxy, side), "seed": 0}


def report(name: str) -> Report:
    """Writes what one truth says, and prints it."""
    space, column, macs = TRUTHS[name]
    _, truth, noise = read_truth(HERE / FILES[space], column)
    if macs is not None:
        truth = truth[truth["macs"].between(*macs)]
    bands = None if space not in EDGES else 1 if macs is not None else EDGES[space]
    kinds, left_out = sorted_out()
    for more in (trained_scores(space), parts_of_blend(space)):
        if more is not None:
            truth, kinds = truth.merge(more, on="id", how="left"), kinds | dict.fromkeys(more.columns[1:], TRAINED)
    words = f"{len(truth)} designs of {FILES[space]}, {column} {truth[column].min():.4g} to {truth[column].max():.4g}"
    scores = Scores(HERE / f"scores-{space}.csv")
    made = put_together(truth, noise, scores, kinds, column=column, bands=bands, trained=words, left_out=left_out)
    (HERE / f"summary-{name}.csv").write_text(to_csv(made.summary) + "\n", encoding="utf-8")
    plot_evidence(made, HERE / f"{name}.png")
    print(f"\n{name}")
    print_report(made)
    return made


def trained_scores(space: str) -> pd.DataFrame | None:
    """What trained.py found for every design, a column per score; None where it has not been that far."""
    path = HERE / f"trained-{space}.csv"
    if not path.exists():
        return None
    rows = pd.read_csv(path)
    found = rows[rows["score"].isin(QUARTER)].pivot_table(index="id", columns="score", values="value")
    found["quarter_loss"] *= -1  # greater is better
    return found.rename(columns=QUARTER)[list(QUARTER.values())].reset_index()


def parts_of_blend(space: str) -> pd.DataFrame | None:
    """The short training that is part of `blend`, which is the proxy `short_training` to the last digit."""
    rows = pd.read_csv(HERE / f"scores-{space}.csv")
    rows = rows[(rows["proxy"] == "blend") & rows["score"].notna()]
    if rows.empty:
        return None
    metrics = [json.loads(text) for text in rows["metrics"]]
    columns = {
        "id": list(rows["id"]),
        "short_training": [told["blend_accuracy"] for told in metrics],
        "short_training, by loss": [-told["blend_loss"] for told in metrics],
    }
    return pd.DataFrame(columns)


def _exists(name: str, what: str) -> bool:
    space = name if what == "score" else TRUTHS[name][0]
    return (HERE / FILES[space]).exists() and (what == "score" or (HERE / f"scores-{space}.csv").exists())


def _tell(done: int, total: int, what: str) -> None:
    if done % 50 == 0 or done == total:
        print(f"{done}/{total} scores ({what})", flush=True)


if __name__ == "__main__":
    main()
