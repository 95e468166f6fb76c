"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gas.errors import GasError, RunError


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


def read_mapping(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file of a run's directory. RunError where it is missing or is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{file.parent}: got no {file.name}; expected the directory of a run") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file}: damaged: {error}") from error
    if not isinstance(data, dict):
        raise RunError(f"{file}: damaged: got {type(data).__name__}; expected a mapping")
    return data


@contextlib.contextmanager
def damage(file: Path) -> Iterator[None]:
    """Whatever a file lacks or has in the wrong form is an error that names the file."""
    try:
        yield
    except KeyError as error:
        raise RunError(f"{file}: damaged: it lacks {error}") from error
    except (GasError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{file}: damaged: {error}") from error
