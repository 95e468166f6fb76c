"""What a run writes beside its archive: the log, the versions; and its folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from gas.errors import RunError
from gas.evaluation import Constraint


class Log:
    """A text file that lines are added to: what happened, for people; the archive is what counts.

    Args:
        file: The file; made by the first line.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, text: str) -> None:
        """Adds a line with the time. RunError where it cannot be written."""
        try:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
        except OSError as error:
            raise RunError(f"{self.file}: cannot be written to: {error.strerror}") from error


def check_free(out: Path, beginning: Sequence[str]) -> None:
    """RunError unless a run can begin in a folder: nothing is there, or what a beginning that was cut off leaves.

    Args:
        out: The folder; need not exist.
        beginning: How the names of files begin that a cut-off beginning leaves.
    """
    folder = next(f for f in (out, *out.absolute().parents) if f.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(f"{out}: cannot be written to: {folder} is not a folder that you may write to")
    if folder == out and not all(file.name.startswith(tuple(beginning)) for file in folder.iterdir()):
        raise RunError(f"{out}: got a folder that is no run and not empty; expected a new directory")


def take_lock(out: Path) -> IO[str]:
    """The lock on a run's folder, which is made where there is none; closing it lets go. RunError where it is held."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = (out / "lock").open("w")
    except OSError as error:
        raise RunError(f"{out}: cannot be written to: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        if isinstance(error, BlockingIOError):
            raise RunError(f"{out}: another search is writing to this run") from error
        raise RunError(f"{out}: cannot be written to: {error.strerror}") from error
    return held


def plain_bound(bound: Constraint) -> dict[str, str]:
    """A bound as run.json has it; infinity as text, because JSON has none."""
    return {"metric": bound.metric, "low": str(bound.low), "high": str(bound.high)}


def versions() -> dict[str, str]:
    """Versions of what bears on a search's numbers."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("gas", "torch", "numpy", "optuna", "ray", "scikit-learn", "moocore"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
