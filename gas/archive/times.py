"""When things happened in a run: the one view of an archive that can be had without reading its candidates."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from gas.archive import files


def event_times(path: str | Path) -> list[tuple[str, float]]:
    """Kind (`asked`, `climbed`, `told`, `measured`) and time (seconds since 1970) of each event, in order.

    Args:
        path: The run directory or the archive in it.

    Raises:
        RunError: It is missing, damaged, or of a later version of the schema.
    """
    file = files.file_of(path)
    with contextlib.closing(files.connect(file, readonly=True)) as connection:
        try:
            return [
                (str(kind), float(at)) for kind, at in connection.execute("SELECT kind, time FROM events ORDER BY seq")
            ]
        except (sqlite3.DatabaseError, UnicodeError, TypeError, ValueError) as error:
            raise files.unread(file, error) from error
