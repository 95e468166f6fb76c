"""`gas watch`: how a search stands, read from its run again and again, whoever runs it and wherever."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from gas.archive import event_times
from gas.errors import SettingError
from gas.plots import number, words
from gas.report.fronts import front_columns
from gas.report.html import volume
from gas.report.html.reading import Contents, is_running
from gas.report.progress import clock
from gas.report.tables import MACS_NOTE, plain, records, to_text
from gas.run import Run, open_run
from gas.settings import seconds_of

ROWS, REASONS, LINE = 10, 3, 40
RECENT = 20
"""Evaluations that the rate is worked out from."""
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Standing:
    """How a search stands.

    Args:
        run: Directory of the run.
        space: Name of the space.
        running: True where a search is writing to it.
        state: In words.
        done: Evaluations done.
        budget: Evaluations wanted.
        counts: Status -> candidates.
        in_flight: Candidates under way.
        best: Best value of the first objective; None before there is one.
        metric: What that is.
        seconds: From the first event to the last.
        per_minute: Evaluations per minute over the last RECENT of them; None before there are two.
        seconds_left: Estimate; None where the search is not running or there is none.
        hypervolume: After each evaluation, as the report has it.
        reference: What the hypervolume is measured against, in words.
        front: The front's rows.
        reasons: (reason, times), most frequent first, of what failed.
        table: The front in print.
    """

    run: str
    space: str
    running: bool
    state: str
    done: int
    budget: int
    counts: dict[str, int]
    in_flight: int
    best: float | None
    metric: str
    seconds: float
    per_minute: float | None
    seconds_left: float | None
    hypervolume: list[float]
    reference: str
    front: list[dict[str, Any]]
    reasons: list[tuple[str, int]]
    table: str = field(default="", repr=False)

    @property
    def line(self) -> str:
        """All that changes, in one line."""
        states = ", ".join(f"{count} {status}" for status, count in self.counts.items() if status != "ok")
        parts = [f"{self.done}/{self.budget} evaluations", states]
        parts += [f"{self.in_flight} in flight"] if self.in_flight else []
        parts += [f"best {words(self.metric)} {number(self.best, self.metric)}"] if self.best is not None else []
        parts += [f"{len(self.front)} on the front"]
        parts += [f"hypervolume {self.hypervolume[-1]:.4g}"] if self.hypervolume else []
        parts += [f"{self.per_minute:.3g} per minute"] if self.per_minute else []
        parts += [f"about {clock(self.seconds_left)} left"] if self.seconds_left is not None else []
        return ", ".join(part for part in parts if part)

    @property
    def text(self) -> str:
        """All of it, in plain lines."""
        lines = [f"{self.space} ({self.run}): {self.state}", self.line]
        lines += [f"hypervolume {sparkline(self.hypervolume)}  {self.reference}"] if self.hypervolume else []
        lines += [f"failed {count}x: {' '.join(reason.split())[:110]}" for reason, count in self.reasons]
        return "\n".join([*lines, *([self.table] if self.table else ["no front yet"])])

    def to_json(self) -> str:
        """As JSON: every field but the printed table; what is not known is null."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "table"}
        return json.dumps(plain(told), indent=2, ensure_ascii=False, allow_nan=False)


def standing(run: Run) -> Standing:
    """How a search stands now; RunError where the run is damaged."""
    contents = Contents.of(run)
    frame, front = contents.frame, contents.front
    curve = volume.curve(contents)
    lead = contents.objectives[0]
    told = [at for kind, at in contents.events if kind == "told"]
    rate = _rate(told)
    left = max(run.settings.budget - contents.counted, 0)
    best = None
    if len(front):
        column = front[lead.metric].astype(float)
        best = float(column.max() if lead.maximise else column.min())
    failed = frame.loc[frame["status"] == "failed", "reason"].value_counts()
    columns = [c for c in front_columns(run, front) if c.key != "origin"] if len(front) else []
    more = f" (the first {ROWS} of {len(front)})" if len(front) > ROWS else ""
    few = front.head(ROWS)
    return Standing(
        run=str(run.path),
        space=str(run.record["space"]),
        running=contents.running,
        state=contents.state,
        done=contents.counted,
        budget=run.settings.budget,
        counts={str(k): int(v) for k, v in frame["status"].value_counts().items()},
        in_flight=contents.in_flight,
        best=best,
        metric=lead.metric,
        seconds=contents.seconds,
        per_minute=rate,
        seconds_left=60.0 * left / rate if rate and left and contents.running else None,
        hypervolume=[] if curve is None else [v for v in curve.values if math.isfinite(v)],
        reference="" if curve is None else curve.note,
        front=records(front),
        reasons=[(str(reason), int(count)) for reason, count in failed.head(REASONS).items()],
        table=to_text(few, columns, title=f"front{more}") if columns else "",
    )


def watch_run(
    path: str,
    *,
    every: str = "2s",
    once: bool = False,
    as_json: bool = False,
    stream: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Shows how a search stands until it is over or Ctrl-C is pressed.

    Args:
        path: Directory of the run.
        every: Time between two looks, such as 2s.
        once: Print how it stands and end.
        as_json: With `once`: as JSON.
        stream: Where to; standard output by default.
        sleep: Waits so many seconds.

    Raises:
        SettingError: `every` is no time, or `as_json` without `once`.
        RunError: There is no run, or it is damaged.
    """
    stream = stream or sys.stdout
    pause = seconds_of(every, "every")
    if as_json and not once:
        raise SettingError("json: got --json without --once; expected both, because JSON is printed once")
    run = open_run(path)
    if once:
        now = standing(run)
        print(now.to_json() if as_json else now.text, file=stream)
        return
    try:
        (_live if stream.isatty() else _lines)(run, pause, stream, sleep)
    except KeyboardInterrupt:
        print(file=stream)  # whoever stops looking has nothing to put right: the search goes on


def sparkline(numbers: list[float], width: int = LINE) -> str:
    """Numbers as a line of bars between their least and their greatest, thinned to a width."""
    few = numbers if len(numbers) <= width else [numbers[i * (len(numbers) - 1) // (width - 1)] for i in range(width)]
    if not few:
        return ""
    low, high = min(few), max(few)
    return "".join(BARS[round((len(BARS) - 1) * (v - low) / (high - low))] if high > low else BARS[0] for v in few)


def _rate(told: list[float]) -> float | None:
    recent = told[-RECENT - 1 :]
    span = recent[-1] - recent[0] if recent else 0.0
    return 60.0 * (len(recent) - 1) / span if span > 0 else None


def _changes(run: Run, pause: float, sleep: Callable[[float], None]) -> Any:
    """How it stands, whenever something has changed; ends once no search is writing."""
    last: tuple[int, bool] | None = None
    while True:
        # Looked at first: what a search writes before it lets go is then seen by the look that finds it gone.
        running = is_running(run.path)
        seen = (len(event_times(run.path)), running)
        if seen != last:
            last = seen
            # Settings such as the budget may be others where a run was resumed.
            yield standing(open_run(run.path))
        if not running:
            return
        sleep(pause)


def _lines(run: Run, pause: float, stream: TextIO, sleep: Callable[[float], None]) -> None:
    said = ""
    for turn, now in enumerate(_changes(run, pause, sleep)):
        text = now.text if not turn else now.line
        if text != said:
            print(text, file=stream, flush=True)
        said, state = text, now.state
    if turn:
        print(state, file=stream, flush=True)


def _live(run: Run, pause: float, stream: TextIO, sleep: Callable[[float], None]) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        for now in _changes(run, pause, sleep):
            live.update(drawn(now), refresh=True)


def drawn(now: Standing) -> Any:
    """How it stands, for a terminal."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=max(now.budget, 1), completed=now.done, width=LINE), Text(now.state))
    lines = [Text(f"{now.space} ({now.run})", style="bold"), bar, Text(now.line)]
    if now.hypervolume:
        lines.append(
            Text.assemble("hypervolume ", (sparkline(now.hypervolume), "green"), f"  {now.hypervolume[-1]:.4g}")
        )
        lines.append(Text(now.reference, style="dim"))
    lines += [Text(f"failed {count}x: {' '.join(reason.split())}", style="red") for reason, count in now.reasons]
    table = Text(now.table or "no front yet", no_wrap=True, overflow="ellipsis")
    return Group(*lines, Text(""), table, *([] if MACS_NOTE in now.table or not now.table else [Text(MACS_NOTE)]))
