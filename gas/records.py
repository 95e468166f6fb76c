"""What a run writes beside its archive: files that are whole or not there, the log, the versions in use."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gas.errors import RunError


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


def write_whole(file: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    half = file.with_suffix(file.suffix + ".new")
    try:
        with half.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        half.replace(file)
    except OSError as error:
        raise RunError(f"{file}: cannot be written: {error.strerror}") from error
