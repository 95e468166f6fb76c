"""`gas validate-proxies`: scores and trains designs with a bar, then says which score can be trusted, and how far."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.evidence import Report, Validation, read_bands
from gas.proxies import PROXIES
from gas.report.evidence_figures import plot_evidence
from gas.report.progress import SearchProgress
from gas.report.tables import Column, show, to_csv, to_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column("proxy", "score"),
    Column("kind", "kind"),
    Column("tau_band_words", "tau in bands (95%)"),
    Column("tau_words", "tau overall (95%)"),
    Column("rho_band", "rho in bands", "ratio"),
    Column("partial", "partial tau", "ratio"),
    Column("over", "over the best baseline (95%)"),
    Column("recall", "recall of best 10%", "share"),
    Column("regret", "regret"),
    Column("regret_5", "regret of 5"),
    Column("seconds", "seconds"),
)
BANDS_NOTE = "in bands: over pairs of designs of nearly equal macs; partial: with log params and log macs held fixed"
MORE = " (and the like)"
REGRET_NOTE = "regret: best truth less that of the score's first pick, or of the best of its first five"


def run_validation(
    space: str | None,
    out: str | None,
    *,
    how: str | None,
    quiet: bool,
    seconds: float | None,
    workers: int,
    address: str | None,
    bands: str | None,
    combine: Sequence[str],
    **given: Any,
) -> None:
    """Scores and trains, or goes on with it, and prints what came of it.

    Args:
        space: Path or bundled name of the space; None with a table of trainings.
        out: The folder; None for `evidence/NAME`.
        how: `json`, `csv`, or None for text.
        quiet: No bar.
        seconds: Time for all of it; None for no limit.
        workers: Trainings at once.
        address: Of a running Ray cluster.
        bands: See `gas.evidence.read_bands`.
        combine: Scores to combine, as `a+b`.
        **given: As `Validation` has them.

    Raises:
        GasError: Anything that the user can put right.
        KeyboardInterrupt: With words on how to go on.
    """
    edges = read_bands(bands)
    parts = [[name.strip() for name in text.split("+")] for text in combine]
    folder = Path(out or f"evidence/{Path(given.get('truth') or space or '').stem}")
    bar = None if quiet else SearchProgress()
    try:
        with Validation(space, folder, **given) as validation:
            watch = None if bar is None else _Watch(bar)
            try:
                validation.run(seconds=seconds, workers=workers, address=address, watch=watch)
            except KeyboardInterrupt as stop:
                text = f"interrupted; what was scored and trained is in {folder}: the same command goes on from there"
                raise KeyboardInterrupt(text) from stop
            report = validation.report(bands=edges, combine=parts)
    finally:
        if bar:
            bar.close()
    paths = write(report, folder)
    if how == "json":
        print(to_json([facts(report)]))
    elif how == "csv":
        print(to_csv(report.summary))
    else:
        print_report(report)
        for path in paths:
            print(f"wrote {path}")
        if space and report.recommended in PROXIES:
            print(f"next: gas search --space {shlex.quote(space)} --proxy {report.recommended}")


def write(report: Report, folder: Path) -> list[Path]:
    """Writes summary.csv, table.csv and figure.png, and returns all files that the folder has."""
    from gas.disk import write_whole

    write_whole(folder / "summary.csv", to_csv(report.summary) + "\n")
    write_whole(folder / "table.csv", to_csv(report.table) + "\n")
    try:
        plot_evidence(report, folder / "figure.png")
    except ValueError as error:
        print(f"no figure: {error}", file=sys.stderr)
    names = ("summary.csv", "table.csv", "figure.png", "scores.csv", "truth.csv", "failures.csv", "validation.json")
    return [folder / name for name in names if (folder / name).exists()]


def print_report(report: Report) -> None:
    """What was trained, what is recommended and why; then a row per score."""
    print(f"truth: {report.trained}")
    print(f"recommended: {report.recommended or 'none'}: {report.reason}")
    print()
    notes = [BANDS_NOTE, f"{REGRET_NOTE}, in units of {report.truth}", *noise_notes(report)]
    notes += [f"{name}: left out, because {why}" for name, why in report.left_out.items()]
    for name, reasons in report.missing.items():
        for reason, count in alike(reasons).items():
            notes.append(f"{name}: no score of {count} design{'s' * (count > 1)}: {reason}")
    rows = printed(report.summary)
    shown = [c for c in COLUMNS if any(row.get(c.key) not in (None, "") for row in rows)]
    title = f"Scores against {report.truth}, {len(report.table)} designs"
    show(rows, shown, title=title, notes=notes)


def alike(reasons: Mapping[str, int]) -> dict[str, int]:
    """Reasons that differ in their numbers alone, as one: the first of them, and how many designs they are of."""
    found: dict[str, tuple[str, int]] = {}
    for reason, count in reasons.items():
        kind = re.sub(r"\d+(\.\d+)?", "0", reason)
        first, before = found.get(kind, (reason, 0))
        found[kind] = (first if not before else f"{first.removesuffix(MORE)}{MORE}", before + count)
    return dict(found.values())


def noise_notes(report: Report) -> list[str]:
    """What the trainings with several seeds say of the truth, in words."""
    noise = report.noise
    if noise is None:
        return ["noise of the truth: not known; fewer than three designs were trained more than once"]
    text = (
        f"noise of the truth: {noise.designs} designs trained {noise.trainings} times, deviation {noise.deviation:.3g}"
    )
    text += " from seed to seed"
    for words, value in (("Kendall {:.2f} between seeds", noise.between), ("reliability {:.2f}", noise.reliability)):
        text += f", {words.format(value)}" if math.isfinite(value) else ""
    if math.isfinite(report.ceiling):
        text += f"; a score without error would reach about {report.ceiling:.2f} in bands"
    return [text]


def printed(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows for people: intervals in words, and the lead over the baseline that is hardest to beat."""
    overs = [c for c in summary if c.startswith("over_") and not c.endswith(("_low", "_high"))]
    rows = []
    for row in summary.to_dict("records"):
        told: dict[str, Any] = {key: _number(value) for key, value in row.items()}
        for key in ("tau_band", "tau"):
            told[f"{key}_words"] = _span(row, key)
        known = [over for over in overs if row[over] == row[over]]
        hardest = min(known, key=lambda over: row[over], default=None)
        told["over"] = "" if hardest is None or row["kind"] == "baseline" else _span(row, hardest, sign="+")
        rows.append(told)
    return rows


def facts(report: Report) -> dict[str, Any]:
    """The report as plain data, for programs."""
    noise = None if report.noise is None else vars(report.noise) | {"ceiling": report.ceiling}
    found = {"trained": report.trained, "recommended": report.recommended or None, "reason": report.reason}
    found |= {"truth": report.truth, "noise": noise, "designs": len(report.table), "left_out": report.left_out}
    return found | {"missing": report.missing, "scores": report.summary.to_dict("records")}


def _span(row: Mapping[str, Any], key: str, sign: str = "") -> str:
    value, low, high = (row[name] for name in (key, f"{key}_low", f"{key}_high"))
    if value != value:
        return ""
    return f"{value:{sign}.2f}" + (f" ({low:{sign}.2f} to {high:{sign}.2f})" if low == low else "")


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Watch:
    """Tells a bar how far scoring or training has come, with the time left at the pace so far."""

    def __init__(self, bar: SearchProgress) -> None:
        import time

        self._bar, self._now = bar, time.monotonic
        self._began, self._last = self._now(), (0, 0)

    def __call__(self, done: int, total: int, what: str) -> None:
        if (done, total) < self._last or total != self._last[1]:
            self._began = self._now() if self._last != (0, 0) else self._began
        self._last = done, total
        left = (self._now() - self._began) / done * (total - done)
        kind = "trainings" if what.startswith("training") else "scores"
        self._bar.update(done, total, seconds_left=left, note=what, what=kind)
