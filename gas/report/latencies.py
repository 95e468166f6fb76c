"""Latencies in print: several designs beside one another, on each target, at each batch size and thread count."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.report.measuring import MeasuringLine
from gas.report.tables import show

if TYPE_CHECKING:
    from gas.costs import Target

TOLERANCE = 0.02
COLUMNS = ("name", "target", "batch", "threads", "latency_ms", "latency_ms_q1", "latency_ms_q3", "repeats")
COLUMNS += ("predicted_ms", "predicted_low", "predicted_high", "images_per_s", "ratio", "ratio_low", "ratio_high")
PREDICTED_NOTE = "predicted: by the profile, with its 90% interval, at the speed that this machine usually has"
RATIO_NOTE = "ratio: to the first design, measured in turns with it; low and high: its 95% interval"


def show_latencies(
    designs: Sequence[Architecture],
    *,
    targets: Sequence[str],
    batches: Sequence[int],
    threads: Sequence[int],
    seconds: float,
    channels_last: bool | None = None,
    profile: str | None = None,
    how: str = "text",
) -> None:
    """Measures and prints: medians, quartiles and ratios, what they hold for, and which are less certain than the rest.

    Args:
        designs: What to measure; ratios are to the first.
        targets: Names of latency targets.
        batches: Images per call.
        threads: CPU threads.
        seconds: Time for each target, batch size and thread count.
        channels_last: Memory format of maps; None for each target's own.
        profile: File of a profile whose predictions shall stand beside what is measured; None for none.
        how: `text`, `json` or `csv`; the latter two have every column.
    """
    rest = {"seconds": seconds, "channels_last": channels_last, "profile": profile}
    rows = list(latency_rows(designs, targets, batches, threads, **rest))
    columns = [key for key in COLUMNS if key in rows[0] and (len(designs) > 1 or not key.startswith("ratio"))]
    notes = [RATIO_NOTE] * (len(designs) > 1) + [PREDICTED_NOTE] * (profile is not None)
    notes += _labels(rows) + _unsettled(rows)
    show(rows, columns, how=how, notes=notes)


def latency_rows(
    designs: Sequence[Architecture],
    targets: Sequence[str],
    batches: Sequence[int],
    threads: Sequence[int],
    *,
    seconds: float,
    channels_last: bool | None = None,
    profile: str | None = None,
) -> Iterator[dict[str, Any]]:
    """One row for each setting and design: the timing, the ratio to the first design, and the target's whole label.

    Raises:
        SettingError: A setting that cannot be measured here; before the first is measured.
    """
    from gas.costs import latency, ratio
    from gas.costs.targets import create

    settings = [
        create(name, batch=batch, threads=count, channels_last=channels_last)
        for name, count, batch in itertools.product(targets, threads, batches)
    ]
    predicted = [_predicted(designs, target, profile) for target in settings]
    with MeasuringLine() as line:
        for target, expected in zip(settings, predicted, strict=True):
            where = {"target": target.name, "batch": target.batch, "threads": target.threads}
            told = f"{target.name}, batch {target.batch}, {target.threads} thread{'s' * (target.threads > 1)}"
            timings = latency(
                designs,
                **where,
                channels_last=channels_last,
                seconds=seconds,
                tolerance=TOLERANCE,
                watch=lambda what, share, told=told: line.update(f"{told}: {what}", share),
            )
            for design, timing, columns in zip(designs, timings, expected, strict=True):
                beside, reach = ratio(timing, timings[0]), timing.reach
                row: dict[str, Any] = {"name": design.name or design.id, **where, "latency_ms": timing.median_ms}
                row |= {"latency_ms_q1": timing.q1_ms, "latency_ms_q3": timing.q3_ms, "repeats": timing.repeats}
                row |= {"outliers": timing.outliers, "settled": timing.settled}
                row |= {"known_to": reach if math.isfinite(reach) else None} | columns
                row |= {"images_per_s": 1000.0 * target.batch / timing.median_ms}
                row |= {"ratio": beside.value, "ratio_low": beside.low, "ratio_high": beside.high}
                yield row | {key: value for key, value in target.describe().items() if key not in row}


def _predicted(designs: Sequence[Architecture], target: Target, profile: str | None) -> list[dict[str, float]]:
    """What a profile predicts on a target: three columns per design; none without a profile."""
    if profile is None:
        return [{} for _ in designs]
    from gas.costs import LatencyTable, Profile

    made = Profile.load(Path(profile), LatencyTable.on(target))
    told = [made.predict(design) for design in designs]
    return [{"predicted_ms": p.ms, "predicted_low": p.low, "predicted_high": p.high} for p in told]


def _labels(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each target: the machine and the versions that its latencies hold for."""
    first = list(rows[0])
    measured = set(first[: first.index("ratio_high") + 1])
    labels = {row["target"]: {k: v for k, v in row.items() if k not in measured} for row in rows}
    return [
        f"{target}: " + ", ".join(str(v) if k in ("cpu", "gpu", "compiler") else f"{k} {v}" for k, v in label.items())
        for target, label in labels.items()
    ]


def _unsettled(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is known less well than asked for, because the time was up."""
    loose = [row for row in rows if not row["settled"]]
    if not loose:
        return []
    known = [row["known_to"] for row in loose]
    worst = "some cannot be told yet" if None in known else f"the worst to {max(known):.0%}"
    count = f"{len(loose)} of {len(rows)} medians known less well than to {TOLERANCE:.0%}"
    return [f"the time was up with {count} ({worst}); --seconds gives it more"]
