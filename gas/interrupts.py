"""Ctrl-C that is not lost. Python passes no exception on from where it clears up by itself (the end of a generator, a
callback of a weak reference): a KeyboardInterrupt that falls there is printed as "ignored", and the program goes on.
So the command line's handler remembers that one was asked for, and long work asks.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from types import FrameType
from typing import Any

_asked: list[int] = []  # signals since `listen`


def listen() -> None:
    """Has SIGINT and SIGTERM raise KeyboardInterrupt, and `check` raise it again should it get lost.

    Whoever asks a program to end wants its bookkeeping done, by whatever signal they ask. SIGINT stays as it is where
    something else than Python's own handler stands there: a shell lets its background jobs ignore it.
    """
    forget()
    with contextlib.suppress(ValueError):  # raised where this is not the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)
    if sys.unraisablehook is not _unraisable:
        _hooks.append(sys.unraisablehook)
        sys.unraisablehook = _unraisable


def forget() -> None:
    """Leaves nothing of what came: the command that it was meant for is over."""
    _asked.clear()


def check() -> None:
    """Does nothing, or what a Ctrl-C shall do.

    Raises:
        KeyboardInterrupt: A signal has come since `listen`.
    """
    if _asked:
        raise KeyboardInterrupt


_hooks: list[Any] = [sys.__unraisablehook__]  # who is told of what Python cannot pass on, the last one first


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise KeyboardInterrupt


def _unraisable(what: Any) -> None:
    if not (_asked and issubclass(what.exc_type, KeyboardInterrupt)):  # one that is remembered is not lost
        _hooks[-1](what)
