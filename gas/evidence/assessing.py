"""Every score held against the truth and against the counts that cost nothing: one row of figures per score."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gas.errors import SettingError, describe
from gas.evidence.bands import Bands, bands_of
from gas.evidence.combining import fitted, mean_rank, mean_z, name_of
from gas.evidence.noise import apart
from gas.evidence.picks import recall, regret
from gas.evidence.ranks import Array, bootstrap_weights, interval, partial_tau, rho, same_band, tau_b

if TYPE_CHECKING:
    import pandas as pd

BASELINES = (
    "log_params",
    "log_macs",
    "mean_rank(log_params + log_macs)",
    "block_widths",
    "output_channels",
    "depth",
    "log_activations",
)
"""What a score has to beat: counts that need no network."""
HELD = ("log_params", "log_macs")
"""What is held fixed in partial correlations."""
BASELINE, TRAINING_FREE, TRAINED, COMBINATION, FITTED = "baseline", "training-free", "trained", "combination", "fitted"
LEAST = 5  # designs
RESAMPLES = 1000
PICKS = 5


def assess(
    table: pd.DataFrame,
    *,
    truth: str = "accuracy",
    proxies: Sequence[str] | Mapping[str, str] | None = None,
    bands: Bands = None,
    combine: Sequence[Sequence[str]] = (),
    fit: Sequence[str] = (),
    noise: float | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """How well scores order designs as the truth does, best first.

    Args:
        table: A row per design: `macs`, `params`, the truth, a column per score (greater is better; NaN where a design
            has none), and optionally `seeds`, the number of trainings that the truth is the mean over, and `family`,
            by which the ridge's folds are divided.
        truth: Column of the truth; greater is better, unless its name ends with `loss`.
        proxies: Columns that are scores, or a mapping of these to their kind; None for every numeric column that is
            nothing else. Baselines that need no column of their own are added.
        bands: How designs are divided by their macs; see `gas.evidence.bands.Bands`.
        combine: Scores whose mean z-score and mean rank are assessed too.
        fit: Scores that a ridge regression is fitted to, none of whose scores come from a fit that saw the design.
        noise: Deviation of the truth of one training from seed to seed; None where it is not known.
        seed: Of the bootstrap samples and of the ridge's folds.
        resamples: Bootstrap samples.

    Returns:
        Per score: `proxy`, `kind`, `designs` (that have the score), then `tau`, `rho` (over all), `tau_band`,
        `rho_band` (pooled over pairs within a band), `partial` (Kendall with log params and log macs held fixed), each
        with `_low` and `_high` of its 95% interval; `tau_apart` (pairs within a band that the noise does not explain),
        `recall` (of the best tenth), `regret` and `regret_5` (of its first and its first five picks, in the truth's
        unit); and for each baseline `over_NAME`, the difference of `tau_band`, with its paired interval. NaN where
        something cannot be told.

    Raises:
        SettingError: A column is missing, or too few designs have a truth.
    """
    import pandas as pd

    study = Study(table, truth, bands, noise, seed, resamples)
    scores, kinds = _scores(study, _kinds(study, proxies), combine, fit)
    baselines = {name: scores[name] for name in BASELINES if name in scores}
    rows = [
        {"proxy": name, "kind": kinds[name], **study.figures(score, baselines, name)} for name, score in scores.items()
    ]
    return pd.DataFrame(rows).sort_values("tau_band", ascending=False, kind="stable", ignore_index=True)


@dataclass
class Study:
    """A table with what every score is held against.

    Args:
        table: See `assess`.
        name: Column of the truth.
        bands: See `assess`.
        noise: See `assess`.
        seed: See `assess`.
        resamples: See `assess`.
    """

    table: pd.DataFrame
    name: str
    bands: Bands
    noise: float | None
    seed: int
    resamples: int

    def __post_init__(self) -> None:
        for column in (self.name, "macs", "params"):
            if column not in self.table:
                raise SettingError(f"truth: {describe(column, 'a column', known=list(self.table.columns))}")
        known = np.isfinite(self.column(self.name)) & (self.column("macs") > 0) & (self.column("params") > 0)
        self.table = self.table[known]
        if len(self.table) < LEAST:
            raise SettingError(f"designs: got {len(self.table)} with a truth; expected {LEAST} or more")
        self.truth = self.column(self.name) * (-1 if self.name.endswith("loss") else 1)
        self.band = bands_of(self.column("macs"), self.bands)
        self.within = same_band(self.band)
        self.seeds = self.column("seeds") if "seeds" in self.table else np.ones(len(self.table))
        self._taus: dict[tuple[str, bytes], Array] = {}

    def column(self, name: str) -> Array:
        """(n,) numbers of a column; SettingError where they are none."""
        try:
            return self.table[name].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise SettingError(f"{name}: {describe(self.table[name].iloc[0], 'a column of numbers')}") from error

    @cached_property
    def weights(self) -> Array:
        """(B, n) the bootstrap samples, the same ones for all scores."""
        return bootstrap_weights(len(self.table), self.resamples, self.seed)

    def figures(self, score: Array, baselines: Mapping[str, Array], name: str) -> dict[str, float]:
        """One row of `assess`, without the names."""
        truth, score = self.truth, np.where(np.isfinite(score), score, np.nan)
        held = [np.log(self.column("params")), np.log(self.column("macs"))]
        found: dict[str, float] = {"designs": int(np.isfinite(score).sum())}
        for key, measure in (
            ("tau_band", lambda weights: tau_b(score, truth, pairs=self.within, weights=weights)),
            ("rho_band", lambda weights: rho(score, truth, bands=self.band, weights=weights)),
            ("tau", lambda weights: tau_b(score, truth, weights=weights)),
            ("rho", lambda weights: rho(score, truth, weights=weights)),
            ("partial", lambda weights: partial_tau(score, truth, held, weights=weights)),
        ):
            found[key] = float(measure(None))
            found[f"{key}_low"], found[f"{key}_high"] = self._interval(found[key], measure)
        if self.noise is not None:
            far = self.within & apart(truth, self.seeds, self.noise)
            found["tau_apart"] = float(tau_b(score, truth, pairs=far))
        found |= {"recall": recall(score, truth), "regret": regret(score, truth)}
        found[f"regret_{PICKS}"] = regret(score, truth, PICKS)
        for other, values in baselines.items():
            for key, value in self._over(name, score, other, values):
                found[key] = value
        return found

    def _interval(self, value: float, measure: object) -> tuple[float, float]:
        return (math.nan, math.nan) if math.isnan(value) else interval(measure(self.weights))

    def _over(self, name: str, score: Array, other: str, values: Array) -> Iterator[tuple[str, float]]:
        """The difference of tau within bands to a baseline's, on the designs that have both, with its interval."""
        key = f"over_{other}"
        if name == other:
            yield from ((key, math.nan), (f"{key}_low", math.nan), (f"{key}_high", math.nan))
            return
        both = np.isfinite(score) & np.isfinite(values)
        mine, theirs = (self._tau(who, column, both) for who, column in ((name, score), (other, values)))
        difference = mine - theirs
        low, high = interval(difference[1:])
        yield from ((key, float(difference[0])), (f"{key}_low", low), (f"{key}_high", high))

    def _tau(self, name: str, column: Array, known: np.ndarray) -> Array:
        """(1 + B,) tau within bands of all designs that are known, then of the bootstrap samples."""
        key = name, known.tobytes()
        if key not in self._taus:
            column = np.where(known, column, np.nan)
            whole = np.vstack([np.ones(len(known)), self.weights])
            self._taus[key] = tau_b(column, self.truth, pairs=self.within, weights=whole)
        return self._taus[key]


def recommend(summary: pd.DataFrame) -> tuple[str, str]:
    """The score that the evidence speaks for, and why in one line.

    Of those whose lead over every baseline has a 95% interval above zero, it is the one whose own interval begins
    highest; where there is none, the baseline whose interval does. Combinations and fits are told of, not recommended:
    no search can be given one by its name.

    Args:
        summary: What `assess` returns.
    """
    baselines = summary[summary["kind"] == BASELINE].dropna(subset=["tau_band", "tau_band_low"])
    overs = [f"over_{name}" for name in baselines["proxy"]]
    own = summary[summary["kind"].isin((TRAINING_FREE, TRAINED))].dropna(subset=["tau_band", "tau_band_low"])
    if baselines.empty:
        return "", "nothing can be told: too few designs of a band differ in the truth and in size"
    proven = own[(own[[f"{over}_low" for over in overs]] > 0).all(axis=1)]
    best_baseline = baselines.loc[baselines["tau_band_low"].idxmax()]
    if not proven.empty:
        best = proven.loc[proven["tau_band_low"].idxmax()]
        least = min(overs, key=lambda over: best[f"{over}_low"])
        ahead = f"ahead of every baseline, of {least.removeprefix('over_')} by {best[least]:.2f} {_span(best, least)}"
        return str(best["proxy"]), f"Kendall {best['tau_band']:.2f} {_span(best, 'tau_band')} at equal macs, {ahead}"
    told = f"{best_baseline['proxy']}, Kendall {best_baseline['tau_band']:.2f} {_span(best_baseline, 'tau_band')}"
    why = f"no score is surely ahead of every baseline at equal macs; the surest baseline is {told}"
    if not own.empty:
        best = own.loc[own["tau_band"].idxmax()]
        why += f"; the highest of {len(own)} scores is {best['proxy']} {best['tau_band']:.2f}"
        why += f" {_span(best, 'tau_band')}"
    return str(best_baseline["proxy"]), why


def _span(row: pd.Series, key: str) -> str:
    return f"({row[f'{key}_low']:.2f} to {row[f'{key}_high']:.2f})"


def _scores(
    study: Study, kinds: dict[str, str], combine: Sequence[Sequence[str]], fit: Sequence[str]
) -> tuple[dict[str, Array], dict[str, str]]:
    """All that is assessed, columns, counts, combinations and the fit; and the kind of each."""
    kinds = dict(kinds)
    scores = {name: study.column(name) for name in kinds}
    for name in ("log_params", "log_macs"):
        scores.setdefault(name, np.log(study.column(name.removeprefix("log_"))))
    scores[BASELINES[2]] = mean_rank(np.column_stack([scores[name] for name in HELD]))
    for parts in combine:
        columns = np.column_stack([_of(scores, name) for name in parts])
        for way in (mean_z, mean_rank):
            name = name_of(way.__name__, parts)
            if name not in scores:
                scores[name], kinds[name] = way(columns), COMBINATION
    if fit:
        name = f"ridge of {len(fit)} scores"
        columns = np.column_stack([_of(scores, part) for part in fit])
        families = study.table["family"].to_numpy() if "family" in study.table else None
        scores[name], kinds[name] = fitted(columns, study.truth, families=families, seed=study.seed), FITTED
    kinds |= {name: BASELINE for name in BASELINES if name in scores}
    return scores, kinds


def _kinds(study: Study, proxies: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Kind of every score that is a column; those of which nothing is said are taken as training-free."""
    table = study.table
    if proxies is None:
        none = (study.name, "macs", "params", "seeds", "seed", "seconds", "accuracy", "loss", "train_loss")
        proxies = [c for c in table if c not in none and table[c].dtype.kind in "fiu"]
    kinds = dict(proxies) if isinstance(proxies, Mapping) else dict.fromkeys(proxies, TRAINING_FREE)
    for name in kinds:
        if name not in table and name not in HELD:
            raise SettingError(f"proxies: {describe(name, 'a column', known=list(table.columns))}")
    return {name: kind for name, kind in kinds.items() if name in table}


def _of(scores: Mapping[str, Array], name: str) -> Array:
    if name not in scores:
        known = list(scores)
        raise SettingError(f"combine: {describe(name, 'one of ' + ', '.join(known), known=known)}")
    return scores[name]
