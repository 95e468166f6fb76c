"""`gas profile`: measures a space on a target, with a bar and an estimate, and prints how well latency is predicted."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from gas.costs.profiles import Profile, accuracy, estimate, make_profile, profile_path, work
from gas.costs.table import LatencyTable
from gas.report.progress import SearchProgress, clock
from gas.report.tables import show, to_json
from gas.space import SearchSpace


def run_profile(
    space: SearchSpace, table: LatencyTable, *, designs: int, seed: int, out: str | None, how: str = "text"
) -> Profile:
    """Makes the profile of a space on a target and prints what came of it.

    Args:
        space: The space.
        table: Of the target.
        designs: Designs to measure whole.
        seed: Of these.
        out: File to write; the one where `gas search` looks for it where None.
        how: `text`, `json` or `csv`.

    Raises:
        KeyboardInterrupt: With words on how to go on.
    """
    path = Path(out) if out else profile_path(space, table)
    todo = work(space, table, designs, seed)
    print(_heading(space, table), file=sys.stderr)
    try:
        expected = estimate(todo, table)
        counts = f"{len(todo.pieces):,} pieces to measure and {len(todo.designs)} whole designs"
        print(f"{counts}: about {clock(expected)}", file=sys.stderr)
        with SearchProgress() as bar:
            made = make_profile(space, table, todo, progress=_Watch(bar))
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("interrupted; what was measured is kept: the same command goes on from there") from stop
    made.save(path)
    rows = accuracy_rows(made)
    if how == "json":
        print(
            to_json(
                [{"file": str(path), "label": made.label, "accuracy": rows, "correction": made.correction.to_dict()}]
            )
        )
    else:
        show(rows, how=how, title="How well latency is predicted", notes=_notes(made))
    if how == "text":
        print(f"wrote {path}")
        print(f"next: gas search --space {space.document.file} --target {table.target.name} takes it up")
    if table.problem:
        print(f"note: what was measured was not kept for the next time: {table.problem}", file=sys.stderr)
    return made


def accuracy_rows(made: Profile) -> list[dict[str, Any]]:
    """How well the sum over pieces, the predictor and a second measurement tell what was measured."""
    measured = [row[1] for row in made.designs]
    rows = [
        {"latency as": "sum over pieces", **accuracy(measured, [row[3] for row in made.designs])},
        {"latency as": "predicted", **accuracy(measured, [row[2] for row in made.designs])},
    ]
    if made.repeats:
        first, second = zip(*made.repeats, strict=True)
        rows.append({"latency as": "measured again", **accuracy(first, second)})
    return rows


def _heading(space: SearchSpace, table: LatencyTable) -> str:
    label = ", ".join(f"{name} {value}" for name, value in table.label.items())
    return f"profile of {space.name}: {label}"


def _notes(made: Profile) -> list[str]:
    low, high = made.correction.low - 1, made.correction.high - 1
    return [
        "predicted: each design from the others (leaving one out); measured again: what no prediction can do better",
        f"90% interval of a prediction: {low:+.1%} to {high:+.1%}; a search holds bounds on latency with that margin",
    ]


class _Watch:
    """Tells a bar how far measuring has come, with the time left at the pace so far."""

    def __init__(self, bar: SearchProgress) -> None:
        self._bar = bar
        self._began = time.monotonic()
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._first = what, now, done
        pace = (now - self._began) / max(done - self._first, 1)
        self._bar.update(done, total, what=what, seconds_left=pace * (total - done) if done > self._first else None)
