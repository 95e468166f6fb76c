"""Rank correlation of bank scores with training each design alone, beside what params and macs alone say.

    PYTHONPATH=. python experiments/shared_weights/report.py

Reads scores.csv and experiments/search_efficiency/real-DATA.csv; writes summary.csv: Kendall's tau-b with the accuracy
and with the loss (its sign turned), intervals from 2,000 bootstraps over designs; over all designs, over the middle
third by macs, where cost says little, and, where longer.py has been run, against training four times as long.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau

HERE = Path(__file__).parent
DRAWS = 2_000


def main() -> None:
    """Prints and writes the table."""
    scores = pd.read_csv(HERE / "scores.csv")
    rows = []
    for data, banks in scores.groupby("data"):
        truth = pd.read_csv(HERE.parent / "search_efficiency" / f"real-{data}.csv")
        truth = truth[truth["seed"] == 0].set_index("id")
        wanted = {"params alone": truth["params"], "macs alone": truth["macs"]}
        for name, bank in banks.groupby("bank"):
            bank = bank.set_index("id").loc[truth.index]
            wanted[f"{name} accuracy"], wanted[f"{name} loss"] = bank["score"], -bank["loss"]
        ends = truth["macs"].quantile([1 / 3, 2 / 3])
        band = truth["macs"].between(*ends)
        truths = [("400 steps, all", truth), ("400 steps, middle third by macs", truth[band])]
        longer = HERE / f"longer-{data}.csv"
        if longer.exists():
            truths.append(("1600 steps", pd.read_csv(longer).set_index("id")))
            truths.append(("400 steps, those", truth.loc[truths[-1][1].index]))
        for label, told in truths:
            short = {"training alone, 400 steps": truth["accuracy"]} if label == "1600 steps" else {}
            for name, values in {**wanted, **short}.items():
                row = {"data": data, "truth": label, "n": len(told), "score": name}
                for against, sign in (("accuracy", 1), ("loss", -1)):
                    row |= _taus(values.loc[told.index].to_numpy(), sign * told[against].to_numpy(), against)
                rows.append(row)
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "summary.csv", index=False, float_format="%.3f", lineterminator="\n")
    print(table.to_string(index=False, float_format="%.3f"))
    print(scores.groupby(["data", "bank"])["seconds"].describe(percentiles=[0.25, 0.5, 0.75]).to_string())


def _taus(values: NDArray, truth: NDArray, against: str) -> dict[str, float]:
    """tau-b and its 95% interval over resampled designs."""
    rng, drawn = np.random.default_rng(0), []
    for _ in range(DRAWS):
        chosen = rng.integers(len(values), size=len(values))
        drawn.append(kendalltau(values[chosen], truth[chosen]).statistic)
    low, high = np.quantile(drawn, [0.025, 0.975])
    tau = kendalltau(values, truth).statistic
    return {f"tau_{against}": tau, f"low_{against}": low, f"high_{against}": high}


if __name__ == "__main__":
    main()
