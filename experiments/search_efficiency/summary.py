"""Tables and figure of this experiment, from best_known.csv, analytic.csv and real.csv.

    PYTHONPATH=. python experiments/search_efficiency/summary.py

Prints the tables and puts them into README.md, writes summary.csv (problem, sampler, noise, batch, runs, measure, low,
median, high; low and high are quartiles) and search_efficiency.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
README, MARKS = HERE / "README.md", ("<!-- written by summary.py -->", "<!-- end -->")
AFTER = {"analytic": (50, 65, 118, 200, 1000), "real": (20, 50, 100, 200)}
PARTS = (0.90, 0.95, 0.99)
TO_BEAT = ("optuna-nsga2", "pymoo-nsga2")  # whose mean after 1,000 evaluations is to be reached sooner
RUN = ["problem", "sampler", "noise", "batch", "surface", "seed"]
COLUMNS = ["problem", "sampler", "noise", "batch", "runs", "measure", "low", "median", "high"]


def analytic(file: str = "analytic.csv") -> pd.DataFrame:
    """Searches of the analytic problem, with `share` and `share_picked` of the best known hypervolume."""
    frame = pd.read_csv(HERE / file)
    best = pd.read_csv(HERE / "best_known.csv").query("run == 'both'").set_index("surface")["hypervolume"]
    missing = set(frame["surface"]) - set(best.index)
    if missing:
        raise SystemExit(f"best_known.csv: no surface {sorted(missing)}; run best_known.py")
    return _shares(frame, frame["surface"].map(best)).assign(problem="analytic")


def real(file: str = "real.csv") -> pd.DataFrame:
    """Searches of the trained tables, with `share` of the whole table's hypervolume."""
    frame = pd.read_csv(HERE / file)
    whole = frame["sampler"] == "best"
    best = frame[whole].set_index("data")["hypervolume"]
    frame = frame[~whole]
    shares = _shares(frame, frame["data"].map(best)).rename(columns={"data": "problem"})
    return shares.assign(noise=0.0, surface=0)


def _shares(frame: pd.DataFrame, best: pd.Series) -> pd.DataFrame:
    shares = frame.assign(share=frame["hypervolume"] / best, share_picked=frame["picked"] / best)
    over = shares[shares["share"] > 1]
    assert over.empty, f"a search beat the best known, which has to be looked for longer:\n{over.head()}"
    return shares


def measures(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per search, a column per measure; infinity where something was not reached."""
    kind = "real" if "analytic" not in set(runs["problem"]) else "analytic"
    grouped = runs.groupby(RUN, sort=False)
    found = {}
    for n in AFTER[kind]:
        at = runs[runs["evaluations"] == n].set_index(RUN)
        found[f"share_{n}"], found[f"picked_{n}"] = at["share"], at["share_picked"]
        found[f"infeasible_{n}"], found[f"duplicates_{n}"] = at["infeasible"] / n, at["duplicates"] / n
    last = grouped.last()
    found["ms"], found["wall_ms"] = last["cpu_ms"] / last["evaluations"], last["wall_ms"] / last["evaluations"]
    found["evaluations"] = last["evaluations"]
    if kind == "analytic":
        for rival in TO_BEAT:
            found[f"reach_{rival}"] = _reach(runs, _means(runs, rival))
    else:
        for part in PARTS:
            found[f"reach_{part:.2f}"] = _reach(runs, pd.Series(part, index=runs.index))
    return pd.DataFrame(found)


def _means(runs: pd.DataFrame, rival: str) -> pd.Series:
    """For each row of `runs`, the mean share of a rival after 1,000 on that surface with that noise and batch 1."""
    rows = runs[(runs["sampler"] == rival) & (runs["evaluations"] == 1000) & (runs["batch"] == 1)]
    means = rows.groupby(["surface", "noise"])["share"].mean()
    keys = pd.MultiIndex.from_frame(runs[["surface", "noise"]])
    return pd.Series(means.reindex(keys).to_numpy(), index=runs.index)


def _reach(runs: pd.DataFrame, threshold: pd.Series) -> pd.Series:
    """First recorded evaluation at which each search has come to a threshold; NaN where there is none."""
    there = runs["evaluations"].where(runs["share"] >= threshold, np.inf).where(threshold.notna())
    keys = [runs[key] for key in RUN]
    return there.groupby(keys, sort=False).min()


def summary(per_run: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles per sampler and measure, in the long form of summary.csv."""
    rows = []
    for key, group in per_run.groupby(["problem", "sampler", "noise", "batch"]):
        for measure in group:
            values = group[measure].dropna()
            if len(values):
                # Of evaluations needed: by when so many of the runs were there, of which some may never be.
                method = "inverted_cdf" if measure.startswith("reach") else "linear"
                low, median, high = np.quantile(values, [0.25, 0.5, 0.75], method=method)
                rows.append([*key, len(values), measure, low, median, high])
    return pd.DataFrame(rows, columns=COLUMNS)


def table(long: pd.DataFrame, problem: str, noise: float, batch: int, columns: dict[str, str]) -> str:
    """A table in Markdown, the best sampler first; `columns` maps measures to headings."""
    rows = long[(long["problem"] == problem) & (long["noise"] == noise) & (long["batch"] == batch)]
    wide = {sampler: group.set_index("measure") for sampler, group in rows.groupby("sampler")}
    columns = {name: heading for name, heading in columns.items() if (rows["measure"] == name).any()}
    order = [name for name in columns if name.startswith(("share", "picked"))]
    rank = lambda s: [-wide[s]["median"].get(name, -1.0) for name in reversed(order)]  # noqa: E731
    lines = ["| sampler | runs | " + " | ".join(columns.values()) + " |", "|---|---|" + "---|" * len(columns)]
    for sampler in sorted(wide, key=rank):
        cells = [_cell(wide[sampler], measure) for measure in columns]
        lines.append(f"| {sampler} | {wide[sampler]['runs'].max()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(group: pd.DataFrame, measure: str) -> str:
    if measure not in group.index:
        return ""
    low, median, high = group.loc[measure, ["low", "median", "high"]]
    if measure.startswith("reach"):
        return " ".join([_count(median), f"({_count(low)} to {_count(high)})"])
    if measure.endswith("ms"):
        return f"{median:.3g}" if median < 100 else f"{median:,.0f}"
    if measure.startswith(("infeasible", "duplicates")):
        return f"{median:.0%}"
    short = lambda value: f"{value:.3f}".removeprefix("0")  # noqa: E731
    return f"{short(median)} ({short(low)} to {short(high)})"


def _count(value: float) -> str:
    return "not" if np.isinf(value) else f"{value:.0f}"


def tables(long: pd.DataFrame) -> list[tuple[str, str]]:
    """Heading and text of each table."""
    found, share = [], {n: f"after {n:,}" for each in AFTER.values() for n in each}
    kinds = long.query("problem == 'analytic'")[["noise", "batch"]].drop_duplicates()
    for noise, batch in sorted(kinds.itertuples(index=False)):
        shares = {f"share_{n}": share[n] for n in AFTER["analytic"]}
        picked = {"picked_200": "picked, after 200", "picked_1000": "picked, after 1,000"} if noise else {}
        reach = {f"reach_{rival}": f"reaches {rival}" for rival in TO_BEAT}
        rest = {"infeasible_200": "infeasible of 200", "duplicates_1000": "repeated of 1,000", "ms": "ms"}
        heading = f"analytic, noise {noise:g}, batch {batch}"
        found.append((heading, table(long, "analytic", noise, batch, {**shares, **picked, **reach, **rest})))
    kinds = long.query("problem != 'analytic'")[["problem", "batch"]].drop_duplicates()
    for problem, batch in sorted(kinds.itertuples(index=False)):
        shares = {f"share_{n}": share[n] for n in AFTER["real"]}
        reach = {f"reach_{part:.2f}": f"{part:.0%}" for part in PARTS}
        found.append((f"{problem}, batch {batch}", table(long, problem, 0.0, batch, {**shares, **reach, "ms": "ms"})))
    return found


def main() -> None:
    """Reads, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surfaces", type=int, nargs="+", default=[4, 5, 6], help="those of the analytic problem")
    given = parser.parse_args()
    runs = [analytic().pipe(lambda f: f[f["surface"].isin(given.surfaces)])]
    if (HERE / "real.csv").exists():
        runs.append(real())
    long = summary(pd.concat([measures(each) for each in runs]))
    long.assign(**{name: long[name].round(4) for name in ("low", "median", "high")}).to_csv(
        HERE / "summary.csv", index=False, lineterminator="\n"
    )
    text = "\n\n".join(f"### {heading}\n\n{text}" for heading, text in tables(long))
    print(text)
    before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
    README.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")
    from figure import draw

    draw(pd.concat(runs), HERE / "search_efficiency.png")


if __name__ == "__main__":
    main()
