"""The events of one archive, written into another: rows as they are, with sums and places of their own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gas.archive import files


@dataclass(frozen=True)
class Row:
    """An event with what it says.

    Args:
        kind: `asked`, `climbed`, `told` or `measured`.
        time: When it happened, seconds since 1970.
        values: Value by column of the table of its kind, but for its place in the order.
    """

    kind: str
    time: float
    values: dict[str, Any]


def rows_of(path: str | Path) -> list[Row]:
    """All events of an archive, in order, of one moment.

    Args:
        path: The run directory or the archive in it.

    Raises:
        RunError: It is missing or damaged.
    """
    file = files.file_of(path)
    with contextlib.closing(files.connect(file, readonly=True)) as connection:
        try:
            connection.execute("BEGIN")
            files.check_sums(file, connection)
            found = []
            for kind, table in files.TABLES.items():
                if kind == "climbed" and files.version_of(connection) < 3:
                    continue
                query = f"SELECT events.time, {table}.* FROM events JOIN {table} USING (seq) WHERE events.kind = ?"
                cursor = connection.execute(query, (kind,))
                names = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    values = dict(zip(names[1:], row[1:], strict=True))
                    found.append((values.pop("seq"), Row(kind, row[0], values)))
        except (sqlite3.Error, UnicodeError) as error:
            raise files.unread(file, error) from error
    return [row for _, row in sorted(found, key=lambda entry: entry[0])]


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Writes events into an archive, in order; where one cannot be written, those before it stay.

    Args:
        path: The run directory or the archive in it.
        rows: The events; numbers of candidates must be free there.

    Raises:
        RunError: It cannot be written.
    """
    file = files.file_of(path)
    opened = contextlib.closing(files.connect(file, readonly=False))
    with opened as connection, files.together(file, connection):
        for row in rows:
            files.write_event(file, connection, row.kind, lambda seq, row=row: _write(connection, seq, row))


def _write(connection: sqlite3.Connection, seq: int, row: Row) -> None:
    values = {"seq": seq, **row.values}
    places = ", ".join("?" * len(values))
    table = files.TABLES[row.kind]
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", tuple(values.values()))
    connection.execute("UPDATE events SET time = ? WHERE seq = ?", (row.time, seq))
