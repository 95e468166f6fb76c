"""Predicted against measured: how the latencies that a search went by agree with those measured at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gas.report.figures import PALE, STRONG, use_own_cache

if TYPE_CHECKING:
    import pandas as pd

LEAST = 2  # designs that are worth a comparison
MEASURED, PREDICTED = "latency_ms", "latency_ms_predicted"


def latency_notes(
    frame: pd.DataFrame, interval: Sequence[float] | None, reference_ms: float | None = None
) -> list[str]:
    """One line on the designs of a run that were both predicted and measured; none where there are too few.

    Args:
        frame: Evaluations.
        interval: Ends of the prediction's 90% interval, as shares of it; None where it has none.
        reference_ms: See `both`.
    """
    rows = both(frame, reference_ms)
    if len(rows) < LEAST:
        return []
    ratios = (rows[MEASURED] / rows[PREDICTED]).astype(float)
    text = f"latency of {len(rows)} designs, measured / predicted: median {ratios.median():.2f}"
    text += f", {ratios.min():.2f} to {ratios.max():.2f}"
    text += " (relative to the reference design)" if reference_ms is not None else ""
    if interval is None:
        return [f"{text}; predicted as the sum over pieces: gas profile gives an interval too"]
    inside = int(((ratios >= interval[0]) & (ratios <= interval[1])).sum())
    return [f"{text}; {inside} of {len(rows)} within the 90% interval ({interval[0]:.2f} to {interval[1]:.2f})"]


def both(frame: pd.DataFrame, reference_ms: float | None = None) -> pd.DataFrame:
    """The designs that were predicted and measured, each once.

    Args:
        frame: Evaluations.
        reference_ms: What the search took for the latency of the reference design; what was measured is then told at
            the speed that the machine had when that was measured: as the ratio to the reference, times this.
    """
    if MEASURED not in frame or PREDICTED not in frame:
        return frame.iloc[:0]
    rows = frame[frame[MEASURED].notna() & frame[PREDICTED].notna()].drop_duplicates("id")
    if reference_ms is None:
        return rows
    rows = rows[rows["latency_ratio"].notna()]
    speed = rows["latency_ratio"] * reference_ms / rows[MEASURED]
    return rows.assign(**{name: rows[name] * speed for name in (MEASURED, "latency_ms_q1", "latency_ms_q3")})


def plot_latency(
    frame: pd.DataFrame,
    interval: Sequence[float] | None,
    path: Path,
    *,
    reference_ms: float | None = None,
    title: str = "",
) -> bool:
    """Draws measured over predicted latency, with the line on which they agree; False where there is too little."""
    rows = both(frame, reference_ms)
    if len(rows) < LEAST:
        return False
    use_own_cache()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    ends = [
        float(min(rows[PREDICTED].min(), rows[MEASURED].min())),
        float(rows[[PREDICTED, MEASURED]].to_numpy().max()),
    ]
    low, high = 0.95 * ends[0], 1.05 * ends[1]
    axes.plot([low, high], [low, high], c="black", lw=1, label="as predicted")
    if interval is not None:
        lower, upper = ([share * low, share * high] for share in interval)
        axes.fill_between([low, high], lower, upper, color=PALE, alpha=0.35, lw=0, label="90% interval")
    spread = [rows[MEASURED] - rows["latency_ms_q1"], rows["latency_ms_q3"] - rows[MEASURED]]
    axes.errorbar(
        rows[PREDICTED], rows[MEASURED], yerr=spread, fmt="o", c=STRONG, ms=5, lw=1, label="measured, with quartiles"
    )
    axes.set(xlabel="predicted latency, ms", ylabel="measured latency, ms", xlim=(low, high), title=title)
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    return True
