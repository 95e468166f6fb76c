"""When to stop."""

from __future__ import annotations

import time


def check_deadline(deadline: float | None, doing: str) -> None:
    """TimeoutError where the deadline has passed; `doing` says how far the work had come."""
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError(f"out of time at {doing}")
