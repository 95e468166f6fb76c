"""The line that shows how far a measurement is: on a terminal only, and gone when it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

EVERY_S = 0.2  # drawing takes a millisecond, after which the next run finds its cache cold


class MeasuringLine:
    """Shows what is being done and how much of it is; a context manager.

    Args:
        stream: Where to; standard error by default, so that standard output stays clean for results.
        now: Clock, seconds.
    """

    def __init__(self, stream: TextIO | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._now = now
        self._shown_at = float("-inf")
        self._live: Any = None

    def update(self, what: str, share: float) -> None:
        """Shows it, where the stream is a terminal and the last time is long enough ago.

        Args:
            what: What is being done.
            share: How much of it is done, 0 to 1.
        """
        if not self._stream.isatty() or (share and self._now() - self._shown_at < EVERY_S):
            return
        from rich.console import Console
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self._live is None:
            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=True)
            self._live.start()
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=1.0, completed=share, width=30), Text(what, overflow="ellipsis", no_wrap=True))
        self._live.update(row, refresh=True)
        self._shown_at = self._now()

    def close(self) -> None:
        """Takes the line away; it may be shown again."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> MeasuringLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
