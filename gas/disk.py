"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gas.errors import RunError


def write_whole(file: Path, content: str | bytes) -> None:
    """Writes a file, on the disk at the end; where that fails or is cut off, what stood there before stays.

    Raises:
        RunError: It cannot be written.
    """
    half = file.with_name(f"{file.name}.new")
    try:
        with half.open("wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        half.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise RunError(f"{file}: cannot be written: {error.strerror}") from error
