"""The bar of a running search: live on a terminal, a plain line now and then where it is piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True)
class State:
    """Where a search stands.

    Args:
        done: Candidates told of so far.
        total: Candidates in the budget; None where only time bounds the search.
        feasible_share: Share of the proposals that are feasible, 0 to 1; None before the first.
        best: Best value of the first objective, or words.
        hypervolume: Hypervolume of the front; None before it has one.
        in_flight: Candidates being evaluated.
        seconds_left: Estimate of the time left; None where not known.
        note: What is being done, or what went wrong last.
        what: What is counted.
    """

    done: int
    total: int | None = None
    feasible_share: float | None = None
    best: float | str | None = None
    hypervolume: float | None = None
    in_flight: int = 0
    seconds_left: float | None = None
    note: str = ""
    what: str = "candidates"

    def line(self) -> str:
        """All of it in one line."""
        parts = [
            f"{self.done}{'' if self.total is None else f'/{self.total}'} {self.what}",
            "" if self.feasible_share is None else f"{self.feasible_share:.0%} feasible",
            "" if self.best is None else f"best {self.best if isinstance(self.best, str) else f'{self.best:.4g}'}",
            "" if self.hypervolume is None else f"hypervolume {self.hypervolume:.4g}",
            f"{self.in_flight} in flight" if self.in_flight else "",
            "" if self.seconds_left is None else f"{clock(self.seconds_left)} left",
            self.note,
        ]
        return ", ".join(part for part in parts if part).replace("\n", " ")


class SearchProgress:
    """Shows the state of a search; a context manager.

    Args:
        stream: Where to; standard error by default, so that standard output stays clean for results.
        every_s: Least time between two lines where the stream is no terminal.
        now: Clock, seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, *, every_s: float = 15.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._every_s = every_s
        self._now = now
        self._last: State | None = None
        self._shown: State | None = None
        self._shown_at = float("-inf")
        self._live: Any = None
        self._closed = False

    def update(
        self,
        done: int,
        total: int | None = None,
        feasible_share: float | None = None,
        best: float | str | None = None,
        hypervolume: float | None = None,
        in_flight: int = 0,
        seconds_left: float | None = None,
        note: str = "",
        what: str = "candidates",
    ) -> None:
        """Shows a new state; see `State`. After `close` nothing is shown."""
        if self._closed:
            return
        self._last = State(done, total, feasible_share, best, hypervolume, in_flight, seconds_left, note, what)
        if self._stream.isatty():
            self._show_live()
        elif self._now() - self._shown_at >= self._every_s:
            self._show_line()

    def close(self) -> None:
        """Ends the bar; the last state stays on the screen. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._live is not None:
            self._live.stop()
        elif self._last is not None and self._last != self._shown:
            self._show_line()

    def __enter__(self) -> SearchProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _show_line(self) -> None:
        print(self._last.line(), file=self._stream, flush=True)
        self._shown, self._shown_at = self._last, self._now()

    def _show_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            # The search tells us when something changed: no thread redraws in between.
            # What is printed meanwhile goes above the bar, but never from a piped standard output into the terminal.
            self._live = Live(
                console=Console(file=self._stream), auto_refresh=False, redirect_stdout=sys.stdout.isatty()
            )
            self._live.start()
        self._live.update(_drawn(self._last), refresh=True)


def clock(seconds: float) -> str:
    """A length of time: 45 s, 3:20 min, 1:05 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def _drawn(state: State) -> Any:
    """A bar with what it counts, and the rest below it."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    words = Text(state.line(), overflow="ellipsis")
    if state.total is None:
        return words
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=max(state.total, 1), completed=state.done, width=40), Text(_percent(state)))
    return Group(row, words)


def _percent(state: State) -> str:
    return f"{state.done / max(state.total, 1):.0%}"
