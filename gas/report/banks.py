"""`gas train-bank`: trains a bank with a bar, and says what came of it and what to run next."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import Any

from gas.banking import BankTraining, Progress
from gas.banks import Record
from gas.report.progress import SearchProgress, clock
from gas.report.tables import show, to_json

ROWS = 8
"""Rows of the table of losses."""


def run_training(
    space: str,
    out: str,
    *,
    how: str | None,
    quiet: bool,
    resume: bool,
    fidelity: Mapping[str, Any],
    steps: int | None,
    batch: int | None,
    **given: Any,
) -> None:
    """Trains, or goes on training, the bank in a folder.

    Args:
        space: Path or bundled name of the space.
        out: The folder.
        how: `json`, or None for text.
        quiet: No bar.
        resume: Go on with the bank that is there.
        fidelity: Fields that differ from the proxy's.
        steps: Among these; None for what `fidelity` says.
        batch: As `steps`.
        **given: As `BankTraining` has them: data, seed, workers, address.

    Raises:
        GasError: Anything that the user can put right.
        KeyboardInterrupt: With words on how to go on.
    """
    changes = dict(fidelity) | {k: v for k, v in (("steps", steps), ("batch", batch)) if v is not None}
    began = time.monotonic()
    bar = None if quiet else SearchProgress()
    try:
        if bar:
            bar.update(0, note="putting the bank together", what="steps")
        watch = None if bar is None else lambda progress: _show(bar, progress)
        with BankTraining(space, out, resume=resume, fidelity=changes, watch=watch, **given) as training:
            try:
                training.run()
            except KeyboardInterrupt as stop:
                done = training.trainer.step
                command = f"gas train-bank {shlex.quote(space)} --out {shlex.quote(out)} --resume"
                raise KeyboardInterrupt(f"interrupted after {done} steps; go on with: {command}") from stop
            record, params = training.record, training.trainer.bank.params
    finally:
        if bar:
            bar.close()
    seconds = time.monotonic() - began
    search = f"gas search --space {shlex.quote(space)} --proxy shared_weights --bank {shlex.quote(out)}"
    if how == "json":
        facts = {"bank": out, "space": record.space, "data": record.data, "steps": record.step, "params": params}
        print(to_json([{**facts, "losses": record.losses, "seconds": round(seconds, 1), "next": search}]))
        return
    _print(record)
    print(f"wrote {out}: {params:,} params of {record.space}, {record.step} steps on {record.data}, {clock(seconds)}")
    print(f"next: {search}")


def _show(bar: SearchProgress, progress: Progress) -> None:
    losses = f"loss {progress.largest:.3f} of the largest design, {progress.smallest:.3f} of the smallest"
    bar.update(progress.done, progress.total, seconds_left=progress.seconds_left, note=losses, what="steps")


def _print(record: Record) -> None:
    """Some rows of the losses, the last one among them."""
    every = -(-len(record.losses) // ROWS)
    kept = record.losses[::-1][::every][::-1] if record.losses else []
    rows = [dict(zip(("step", "largest", "smallest", "drawn"), row, strict=True)) for row in kept]
    note = "means of the cross-entropy against smoothed labels, since the row before"
    show(rows, title="Losses in training", notes=[note])
