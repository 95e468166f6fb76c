"""How near estimates come to families that they have not seen: every variant that was tried, and the choice nested.

    python experiments/imagenet_estimate/choose.py

Each of the families is left out in turn and predicted from the others; strengths, choice of variant and the interval's
factor are found on the others too. Writes variants.csv (a row per variant and set of networks), lofo.csv (a row per
network: what the default, which is the committee, and the nested choice say), gas/estimates/left_out.csv (the same
of the default) and prints a summary. One thread, some minutes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from networks import HERE
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gas.estimates
from gas.estimates.committee import COUNTS, KINDS, SHAPE, SIZES, VIEWS, WHOLE
from gas.estimates.regressor import Prediction, Regressor, flags, inputs
from gas.estimates.table import Known, known

SETS = {
    "none": (),
    "sizes": SIZES,
    "counts": COUNTS,
    "counts, shape": (*COUNTS, *SHAPE),
    "counts, channels, shape": (*COUNTS, "channels", *SHAPE),
    "counts, kinds": (*COUNTS, *KINDS),
    "counts, shape, kinds": WHOLE,
    "all": (*COUNTS, "channels", *SHAPE, "resolution", "width", *KINDS),
}
LINEAR = {"sizes": SIZES, "counts": COUNTS}
MEMBERS = [("logarithm", "sizes", name, "none") for name, view in SETS.items() if view in VIEWS]
LARGEST = ("logarithm", "sizes", "counts, shape, kinds")
SCORES = ("naswot", "zico", "snip", "grad_norm")
BANDS = {"all": (0, np.inf), ">1G": (1e9, np.inf), "<1G": (0, 1e9), "1-2.5G": (1e9, 2.5e9), "2.5-6G": (2.5e9, 6e9)}
Split = Callable[[np.ndarray, np.ndarray], Prediction]


def main() -> None:
    """Leaves every family out with every variant."""
    rows = known()
    networks = Networks(rows)
    found: dict[tuple[str, ...], Prediction] = {}
    inner: dict[tuple[str, ...], dict[str, float]] = {}
    for key in networks.variants():
        found[key], inner[key] = networks.leave_out(key)
        print(*key, tell(networks, found[key], "all"), flush=True)
    best = {family: min(inner, key=lambda key: inner[key][family]) for family in networks.order}
    nested = merged(networks, {family: found[key] for family, key in best.items()})
    print("nested choices:", {key: list(best.values()).count(key) for key in set(best.values())})
    committee = mean([found[key] for key in MEMBERS])
    everything = {**baselines(networks), **found, ("nested choice",): nested, ("committee",): committee}
    write_variants(networks, everything)
    write_networks(networks, {"default": committee, "nested": nested})
    write_left_out(networks, committee)
    for key in (("ridge", "sizes"), ("trees", "all"), ("nested choice",), ("committee",)):
        for name in networks.sets:
            print(*key, "|", name, "|", tell(networks, everything[key], name))


class Networks:
    """The table as arrays, and what is done over its families."""

    def __init__(self, rows: Sequence[Known]) -> None:
        self.rows = rows
        self.top1 = np.array([row.top1 for row in rows])
        self.macs = np.array([row.structure["macs"] for row in rows])
        self.families = [row.family for row in rows]
        self.order = list(dict.fromkeys(self.families))
        self.flags = flags([row.recipe for row in rows])
        self.scores = scores(rows)
        in_results = np.array([row.source.startswith("pytorch-image-models") for row in rows])
        self.sets = {"all": np.ones(len(rows), bool), "results table": in_results}
        self.sets["plain"] = np.array([row.recipe == "plain" for row in rows])

    def variants(self) -> list[tuple[str, ...]]:
        """Names of the variants: target, linear part, smooth part, scores."""
        keys = list(product(("logarithm", "points"), LINEAR, SETS, ["none"]))
        return keys + [(*LARGEST, which) for which in (*SCORES, "all scores")] * (self.scores is not None)

    def of(self, key: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(n, L) and (n, S) of a variant."""
        structures = [row.structure for row in self.rows]
        smooth = inputs(structures, SETS[key[2]])
        if key[3] != "none":
            chosen = SCORES if key[3] == "all scores" else (key[3],)
            smooth = np.hstack([smooth, self.scores[:, [SCORES.index(name) for name in chosen]]])
        return np.hstack([inputs(structures, LINEAR[key[1]]), self.flags]), smooth

    def leave_out(self, key: tuple[str, ...]) -> tuple[Prediction, dict[str, float]]:
        """Predictions, and per family the mean absolute error of the others, each left out of its own fit's others."""
        linear, smooth = self.of(key)
        parts, errors = {}, {}
        for family in self.order:
            own = np.array([other == family for other in self.families])
            kept = [other for other in self.families if other != family]
            fit = Regressor(linear[~own], smooth[~own], kept, self.top1[~own], logarithm=key[0] == "logarithm")
            parts[family] = (own, fit.predict(linear[own], smooth[own]))
            errors[family] = float(np.abs(fit.left_out().top1 - self.top1[~own]).mean())
        return self.joined(parts), errors

    def joined(self, parts: dict[str, tuple[np.ndarray, Prediction]]) -> Prediction:
        """One prediction of all networks."""
        whole = {name: np.zeros(len(self.rows)) for name in ("top1", "low", "high")}
        for own, part in parts.values():
            for name, values in whole.items():
                values[own] = getattr(part, name)
        return Prediction(**whole)


def merged(networks: Networks, found: dict[str, Prediction]) -> Prediction:
    """Each family from its own prediction of all networks."""
    parts = {}
    for family, whole in found.items():
        own = np.array([other == family for other in networks.families])
        parts[family] = (own, Prediction(whole.top1[own], whole.low[own], whole.high[own]))
    return networks.joined(parts)


def mean(parts: Sequence[Prediction]) -> Prediction:
    """What a committee of them says: see gas.estimates.committee."""
    return Prediction(*(np.mean([getattr(part, end) for part in parts], axis=0) for end in ("top1", "low", "high")))


def baselines(networks: Networks) -> dict[tuple[str, ...], Prediction]:
    """Ridge and extra-trees, which give no interval."""
    structures = [row.structure for row in networks.rows]
    models = {
        "ridge": lambda: make_pipeline(StandardScaler(), Ridge(1.0)),
        "trees": lambda: ExtraTreesRegressor(500, random_state=0, min_samples_leaf=2, max_features=0.7),
    }
    found = {}
    for (name, make), (which, names) in product(models.items(), SETS.items()):
        if not names:
            continue
        x, y = np.hstack([inputs(structures, names), networks.flags]), np.zeros(len(networks.rows))
        for family in networks.order:
            own = np.array([other == family for other in networks.families])
            y[own] = make().fit(x[~own], networks.top1[~own]).predict(x[own])
        found[name, which] = Prediction(y, np.full(len(y), np.nan), np.full(len(y), np.nan))
    return found


def figures(networks: Networks, found: Prediction, which: str, band: str) -> dict[str, float]:
    """What is said of predictions on some of the networks."""
    low, high = BANDS[band]
    mask = networks.sets[which] & (networks.macs >= low) & (networks.macs < high)
    truth, said = networks.top1[mask], found.top1[mask]
    inside = (truth >= found.low[mask]) & (truth <= found.high[mask])
    interval = not np.isnan(found.low).any()
    return {
        "networks": int(mask.sum()),
        "mae": float(np.abs(said - truth).mean()),
        "kendall": float(kendalltau(said, truth)[0]),
        "bias": float((said - truth).mean()),
        "coverage": float(inside.mean()) if interval else float("nan"),
        "width": float((found.high - found.low)[mask].mean()),
    }


def tell(networks: Networks, found: Prediction, which: str) -> str:
    """One line."""
    parts = []
    for band in ("all", ">1G"):
        told = figures(networks, found, which, band)
        parts.append(f"{band}: {told['mae']:.2f} {told['kendall']:.3f} cover {told['coverage']:.3f}")
    return "; ".join(parts) + f" width {told['width']:.2f}"


def write_variants(networks: Networks, found: dict[tuple[str, ...], Prediction]) -> None:
    """variants.csv."""
    with (HERE / "variants.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        names = ("networks", "mae", "kendall", "bias", "coverage", "width")
        out.writerow(("model", "linear", "smooth", "scores", "on", "macs", *names))
        for key, which, band in product(found, networks.sets, BANDS):
            told = figures(networks, found[key], which, band)
            kind = (key[0], "", key[1], "none") if len(key) == 2 else key if len(key) == 4 else (*key, "", "", "")
            shown = ("" if np.isnan(told[name]) else round(told[name], 3) for name in names)
            out.writerow((*kind, which, band, *shown))


def write_networks(networks: Networks, found: dict[str, Prediction]) -> None:
    """lofo.csv."""
    with (HERE / "lofo.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        parts = [f"{name}{end}" for name in found for end in ("", "_low", "_high")]
        out.writerow(("name", "family", "recipe", "macs", "top1", *parts))
        for index, row in enumerate(networks.rows):
            said = [f"{getattr(p, part)[index]:.2f}" for p in found.values() for part in ("top1", "low", "high")]
            out.writerow((row.name, row.family, row.recipe, f"{row.structure['macs']:.0f}", row.top1, *said))


def write_left_out(networks: Networks, found: Prediction) -> None:
    """gas/estimates/left_out.csv, from which the program says how near its estimates are."""
    with (Path(gas.estimates.__file__).parent / "left_out.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("name", "top1", "low", "high"))
        for row, *said in zip(networks.rows, found.top1, found.low, found.high, strict=True):
            out.writerow((row.name, *(f"{value:.3f}" for value in said)))


def scores(rows: Sequence[Known]) -> np.ndarray | None:
    """(n, len(SCORES)) of scores.csv; None where it does not hold every network."""
    path = HERE / "scores.csv"
    if not path.exists():
        return None
    with path.open(newline="") as file:
        by_network = {row["network"]: row for row in csv.DictReader(file)}
    with (HERE / "truth.csv").open(newline="") as file:
        names = [row["zoo"] or row["timm"] for row in csv.DictReader(file)]
    if not set(names) <= set(by_network) or len(names) != len(rows):
        return None
    return np.array([[float(by_network[name][score]) for score in SCORES] for name in names])


if __name__ == "__main__":
    main()
