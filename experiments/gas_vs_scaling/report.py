"""What came out: summary.csv, the tables in README.md and the figure, from the other parts' files.

A *cell* is one data set at one seed: within it all designs saw the same images, so designs are compared cell by cell.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from designs import REFERENCE
from matplotlib.figure import Figure
from scipy import stats

HERE = Path(__file__).parent
README, MARKS = HERE / "README.md", ("<!-- written by report.py -->", "<!-- end -->")
GROUPS = {
    "hiera_b": "Hiera-B scaled (the reference)",
    "hiera_t": "Hiera-T shrunk",
    "gas_blend": "found by gas, proxy `blend`",
    "gas_short_training": "found by gas, proxy `short_training`",
    "random": "random, equal cost",
}
COLOURS = {
    "hiera_b": "#222222",
    "hiera_t": "#0072b2",
    "gas_blend": "#d00000",
    "gas_short_training": "#e69f00",
    "random": "#9a9a9a",
}
CELL = ["data", "seed"]
CONTRASTS = (
    ("gas", "hiera_b"),
    ("gas_blend", "hiera_b"),
    ("gas_short_training", "hiera_b"),
    ("hiera_t", "hiera_b"),
    ("random", "hiera_b"),
    ("gas", "hiera_t"),
    ("gas", "random"),
)  # by the beginnings of groups' names


def report() -> None:
    """Writes all there is to write."""
    designs = pd.read_csv(HERE / "designs.csv").drop(columns="architecture")
    results = pd.read_csv(HERE / "results.csv")
    latency = pd.read_csv(HERE / "latency.csv")
    cells = complete(results)
    designs = designs[designs["design"].isin(cells["design"])]
    summary = summarise(cells)
    summary.to_csv(HERE / "summary.csv", index=False, float_format="%.5f", lineterminator="\n")
    draw(cells, HERE / "gas_vs_scaling.png")
    text = "\n\n".join([groups_table(cells, designs, latency, summary), designs_table(cells, designs, latency)])
    text += f"\n\n{contrasts_table(summary)}\n\n{checks_table(results)}"
    before, _, rest = README.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    README.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", encoding="utf-8")
    print(text)


def complete(results: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and loss per design and cell, of designs and cells between which nothing is missing.

    Designs come first whose trainings are at most one cell behind the others'; then the cells in which all of these
    were trained; then the designs that were trained in all of these cells. Says what is left out.
    """
    cells = results[["design", "group", *CELL, "accuracy", "loss"]]
    counts = cells.groupby("design", sort=False).size()
    ahead = counts[counts >= counts.max() - 1].index
    trained = cells[cells["design"].isin(ahead)].groupby(CELL)["design"].transform("nunique")
    kept = cells.loc[trained[trained == len(ahead)].index, CELL].drop_duplicates()
    cells = cells.merge(kept, on=CELL)
    whole = cells[cells.groupby("design")["accuracy"].transform("size") == len(kept)]
    if len(whole) < len(results):
        print(f"left out, so that nothing is missing between designs and cells: {len(results) - len(whole)} trainings")
    return whole


def interval(values: np.ndarray) -> tuple[int, float, float, float, float]:
    """(count, mean, standard error, ends of the 95% t interval); NaN where one value cannot say."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return count, mean, math.nan, math.nan, math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return count, mean, error, mean - reach, mean + reach


def between(first: pd.Series, second: pd.Series) -> tuple[int, float, float, float, float]:
    """As `interval`, of the difference of two groups' means over designs, whose spreads may differ (Welch)."""
    welch, mean = stats.ttest_ind(first, second, equal_var=False), float(first.mean() - second.mean())
    error = math.sqrt(first.var() / len(first) + second.var() / len(second))
    return len(first) + len(second), mean, error, *map(float, welch.confidence_interval())


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """Means of designs and groups, and their paired differences, in the long form of summary.csv.

    `unit` says over what the standard error is: cells; or designs (each its mean over cells), where groups of designs
    are compared as draws from all that such a search, or such a draw, might have given.
    """
    rows = []
    for data in (*dict.fromkeys(cells["data"]), "both"):
        here = cells if data == "both" else cells[cells["data"] == data]
        for measure in ("accuracy", "loss"):
            table = here.pivot(index="design", columns=CELL, values=measure)
            group = here.drop_duplicates("design").set_index("design")["group"].reindex(table.index)
            members = {name: table[group.str.startswith(name)] for name in (*GROUPS, "gas")}
            means = {name: rows.mean() for name, rows in members.items()}
            against = table - table.loc[REFERENCE]
            told = {("design", name, "mean"): row for name, row in table.iterrows()}
            told |= {("group", name, "mean"): row for name, row in means.items()}
            told |= {("design", n, f"minus {REFERENCE}"): row for n, row in against.iterrows() if n != REFERENCE}
            for first, second in CONTRASTS:
                told["group", first, f"minus {second}"] = means[first] - means[second]
            rows += [(*key, data, measure, "cells", *interval(v.to_numpy())) for key, v in told.items()]
            key = ("group", "gas", "minus random", data, measure, "designs")
            rows.append((*key, *between(members["gas"].mean(axis=1), members["random"].mean(axis=1))))
    columns = ["of", "name", "what", "data", "measure", "unit", "n", "mean", "standard_error", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def groups_table(cells: pd.DataFrame, designs: pd.DataFrame, latency: pd.DataFrame, summary: pd.DataFrame) -> str:
    """A row per group."""
    sources = list(dict.fromkeys(cells["data"]))
    heads = [f"{data}: accuracy" for data in sources] + [f"{data}: loss" for data in sources]
    lines = ["| group | designs | macs | params | latency, batch 1 | batch 16 | " + " | ".join(heads) + " |"]
    lines.append("|---" * (6 + len(heads)) + "|")
    costs = relative(designs, latency)
    chosen = summary[(summary["of"] == "group") & (summary["what"] == "mean")].set_index(["name", "data", "measure"])
    for name, words in GROUPS.items():
        rows = costs[costs["group"] == name]
        cheap = [span(rows[key]) for key in ("macs", "params", "ratio_1", "ratio_16")]
        means = []
        for measure, times in (("accuracy", 100), ("loss", 1)):
            for data in sources:
                row = chosen.loc[(name, data, measure)]
                form = ".1f" if times == 100 else ".3f"
                error = "" if math.isnan(row["standard_error"]) else f" ± {times * row['standard_error']:{form}}"
                means.append(f"{times * row['mean']:{form}}{error}")
        lines.append(f"| {words} | {len(rows)} | " + " | ".join([*cheap, *means]) + " |")
    return "\n".join(lines)


def designs_table(cells: pd.DataFrame, designs: pd.DataFrame, latency: pd.DataFrame) -> str:
    """A row per design, with the mean difference from the reference in points and its range over cells."""
    sources = list(dict.fromkeys(cells["data"]))
    shapes = pd.read_csv(HERE / "designs.csv").set_index("design")["architecture"].map(shape)
    costs = relative(designs, latency).set_index("design")
    heads = " | ".join(f"{data}: points over the reference" for data in sources)
    lines = [f"| design | stem; widths; depths | macs | params | latency, batch 1 | batch 16 | {heads} |"]
    lines.append("|---" * (6 + len(sources)) + "|")
    for name, row in costs.iterrows():
        told = []
        for data in sources:
            table = cells[cells["data"] == data].pivot(index="design", columns="seed", values="accuracy") * 100
            gap = (table.loc[name] - table.loc[REFERENCE]).to_numpy()
            ends = f" ({gap.min():+.1f} to {gap.max():+.1f})" if len(gap) > 1 else ""
            told.append(f"{gap.mean():+.1f}{ends}" if name != REFERENCE else "0")
        cheap = [f"{row[key]:.2f}" for key in ("macs", "params", "ratio_1", "ratio_16")]
        lines.append(f"| {name} | {shapes[name]} | " + " | ".join([*cheap, *told]) + " |")
    return "\n".join(lines)


def contrasts_table(summary: pd.DataFrame) -> str:
    """The comparisons that the experiment is about: differences with 95% intervals."""
    sources = list(dict.fromkeys(summary["data"]))
    heads = " | ".join(f"{data}: points" for data in sources)
    lines = [f"| comparison | {heads} | both: loss | interval of both over |"]
    lines.append("|---" * (3 + len(sources)) + "|")
    rows = summary[(summary["of"] == "group") & (summary["what"] != "mean")]
    for (name, what, unit), part in rows.groupby(["name", "what", "unit"], sort=False):
        told = part.set_index(["data", "measure"])
        texts = [difference(told.loc[(data, "accuracy")], 100, "+.1f") for data in sources]
        texts.append(difference(told.loc[("both", "loss")], 1, "+.3f"))
        count = f"{told.loc[('both', 'loss'), 'n']} {unit}"
        lines.append(f"| {name} {what} | " + " | ".join([*texts, count]) + " |")
    return "\n".join(lines)


def checks_table(results: pd.DataFrame) -> str:
    """Accuracy where some designs are trained longer, and of the reference at other learning rates, as far as run."""
    lines: list[str] = []
    if (HERE / "longer.csv").exists():
        both = pd.read_csv(HERE / "longer.csv").merge(results, on=["design", *CELL], suffixes=("", "_short"))
        lines += ["| design | data, seed | accuracy | four times the steps |", "|---|---|---|---|"]
        for row in both.to_dict("records"):
            texts = [f"{100 * row[key]:.1f}" for key in ("accuracy_short", "accuracy")]
            lines.append(f"| {row['design']} | {row['data']}, {row['seed']} | {' | '.join(texts)} |")
        lines.append("")
    if (HERE / "rates.csv").exists():
        rates = pd.read_csv(HERE / "rates.csv").pivot(index="data", columns="rate", values="accuracy") * 100
        lines += ["| reference at a rate of | " + " | ".join(f"{rate:g}" for rate in rates.columns) + " |"]
        lines.append("|---" * (1 + len(rates.columns)) + "|")
        lines += [f"| {data} | " + " | ".join(f"{v:.1f}" for v in row) + " |" for data, row in rates.iterrows()]
    return "\n".join(lines).strip()


def difference(row: pd.Series, times: float, form: str) -> str:
    """A mean and its interval in words; one cell has no interval."""
    mean, low, high = (times * row[key] for key in ("mean", "low", "high"))
    return f"{mean:{form}}" + ("" if math.isnan(low) else f" ({low:{form}} to {high:{form}})")


def relative(designs: pd.DataFrame, latency: pd.DataFrame) -> pd.DataFrame:
    """Costs as shares of the reference's: macs, params, ratio_1 and ratio_16 (latency at that batch size)."""
    at = designs.set_index("design").loc[REFERENCE]
    ratios = latency.pivot(index="design", columns="batch", values="ratio").add_prefix("ratio_")
    shares = designs.assign(macs=designs["macs"] / at["macs"], params=designs["params"] / at["params"])
    return shares.merge(ratios, left_on="design", right_index=True, sort=False)


def span(values: pd.Series) -> str:
    """`0.98`, or `0.95 to 1.00`."""
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def shape(text: str) -> str:
    """Stem, widths and depths of an architecture in canonical JSON."""
    from gas.architecture import Architecture

    design = Architecture.from_json(text)
    dims, depths = (", ".join(map(str, values)) for values in (design.dims, design.depths))
    return f"{design.stem.options['dim']}; {dims}; {depths}"


def draw(cells: pd.DataFrame, path: Path) -> None:
    """Differences from the reference per design: a dot per seed, a bar at the mean."""
    sources = list(dict.fromkeys(cells["data"]))
    names = list(dict.fromkeys(cells["design"]))
    groups = cells.drop_duplicates("design").set_index("design")["group"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for number, data in enumerate(sources, 1):
        axes = figure.add_subplot(1, len(sources), number)
        table = cells[cells["data"] == data].pivot(index="design", columns="seed", values="accuracy") * 100
        gaps = table - table.loc[REFERENCE]
        for place, name in enumerate(names):
            colour, values = COLOURS[groups[name]], gaps.loc[name].to_numpy()
            axes.plot([place] * len(values), values, "o", color=colour, alpha=0.55, markersize=5, markeredgewidth=0)
            axes.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color=colour, linewidth=2.2)
        axes.axhline(0, color="#222222", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axes.set_title(data, fontsize=11, loc="left")
        axes.set_ylabel("accuracy over scaled Hiera-B, points")
        axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=130)
