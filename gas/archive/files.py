"""The SQLite file of an archive: its tables, how it is made and opened, and whether it is sound."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gas.errors import RunError

FILE = "archive.sqlite"
VERSION = 3  # 1 lacks the column of probes, 2 the table of climbs and the sums
APPLICATION = 0x67617321  # in the header of the file: tells an archive from any other SQLite file
SYSTEM = ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR")  # troubles that are not the file's own

SCHEMA = {
    # `seq` is the one order over all kinds of events; `sum` is that of the event's row in its own table (`checksum`).
    "events": "seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, time REAL NOT NULL, sum INTEGER",
    "asked": """number INTEGER PRIMARY KEY, seq INTEGER NOT NULL UNIQUE REFERENCES events, id TEXT NOT NULL,
        architecture TEXT NOT NULL, origin TEXT NOT NULL, decisions TEXT NOT NULL""",
    "told": """number INTEGER PRIMARY KEY REFERENCES asked, seq INTEGER NOT NULL UNIQUE REFERENCES events,
        status TEXT NOT NULL, metrics TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL,
        worker TEXT NOT NULL, fidelity TEXT NOT NULL, probes TEXT NOT NULL DEFAULT ''""",
    "climbs": """seq INTEGER PRIMARY KEY REFERENCES events, number INTEGER NOT NULL REFERENCES asked,
        rung INTEGER NOT NULL, metrics TEXT NOT NULL, costs TEXT NOT NULL, goes_on INTEGER NOT NULL,
        seconds REAL NOT NULL, worker TEXT NOT NULL, fidelity TEXT NOT NULL, UNIQUE (number, rung)""",
    "measurements": """seq INTEGER PRIMARY KEY REFERENCES events, id TEXT NOT NULL, target TEXT NOT NULL,
        batch INTEGER NOT NULL, threads INTEGER NOT NULL, median_ms REAL NOT NULL, q1_ms REAL NOT NULL,
        q3_ms REAL NOT NULL, repeats INTEGER NOT NULL, reference TEXT NOT NULL, ratio REAL""",
}

TABLES = {"asked": "asked", "climbed": "climbs", "told": "told", "measured": "measurements"}
"""Kind of event -> the table that holds what it says."""


def file_of(path: str | Path) -> Path:
    """The file that a path means, which is that file or its folder."""
    path = Path(path)
    return path / FILE if path.is_dir() else path


def create(file: Path) -> None:
    """Makes a file with empty tables; RunError where there is one, or it cannot be written."""
    if file.exists():
        raise RunError(f"{file}: got an archive that exists already; expected none there")
    # Made under another name and then renamed, so that a kill cannot leave an archive without tables.
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        _remove_drafts(file)
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            for table, columns in SCHEMA.items():
                connection.execute(f"CREATE TABLE {table} ({columns})")
            connection.execute("COMMIT")
            # Last: from here on writes go to a file of its own, which the renaming would leave behind. It is emptied
            # where the connection is closed, but where the disk is full that fails, and nobody is told.
            connection.execute("PRAGMA journal_mode = WAL")
        draft.rename(file)
    except (sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            _remove_drafts(file)
        raise RunError(f"{file}: cannot be made: {error}") from error


def _remove_drafts(file: Path) -> None:
    """Removes what is left of archives that were not made to the end: killed, or for want of room."""
    for left in file.parent.glob(f"{file.name}.*"):
        left.unlink(missing_ok=True)


def connect(file: Path, *, readonly: bool) -> sqlite3.Connection:
    """A connection to a sound archive, brought up to this version where it is not `readonly`.

    Raises:
        RunError: It is missing, damaged (says how), or of a later version of the schema.
    """
    if not file.is_file():
        raise RunError(f"{file}: got no such file; expected the archive of a run")
    try:
        connection = sqlite3.connect(_uri(file, readonly), uri=True, timeout=60, isolation_level=None)
    except sqlite3.Error as error:
        raise RunError(f"{file}: cannot be opened: {error}") from error
    try:
        _check(file, connection)
        if not readonly:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _bring_up(connection)
    except (sqlite3.Error, UnicodeError) as error:
        connection.close()
        raise unread(file, error) from error
    except RunError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def together(file: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """See `Archive.together`."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            _undo_event(connection)
            raise
        finally:
            if in_transaction(connection):
                connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _unwritten(file, connection, error) from error


def write_event(file: Path, connection: sqlite3.Connection, kind: str, write: Callable[[int], None]) -> None:
    """Writes one event, in a transaction of its own: on the disk at the end, or undone.

    Within `together` it is on the disk at the end of that. This is no context manager: a signal between such a one's
    beginning and its block would leave the half of an event for `together` to put on the disk.

    Args:
        file: The archive, for errors.
        connection: To it.
        kind: Of the event.
        write: Writes what the event says, under the place in the order that it is given.
    """
    inner = connection.in_transaction
    try:
        try:
            connection.execute("SAVEPOINT event" if inner else "BEGIN IMMEDIATE")
            seq = connection.execute("INSERT INTO events (kind, time) VALUES (?, ?)", (kind, time.time())).lastrowid
            write(seq)
            row = connection.execute(f"SELECT * FROM {TABLES[kind]} WHERE seq = ?", (seq,)).fetchone()
            connection.execute("UPDATE events SET sum = ? WHERE seq = ?", (checksum(row), seq))
            connection.execute("RELEASE event" if inner else "COMMIT")
        except BaseException:
            if inner:
                _undo_event(connection)
            elif in_transaction(connection):
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise (RunError(_words(file, error)) if inner else _unwritten(file, connection, error)) from error


def _undo_event(connection: sqlite3.Connection) -> None:
    """Undoes the event that is half written within a transaction, where there is one."""
    if not in_transaction(connection):
        return
    try:
        connection.execute("ROLLBACK TO event")
        connection.execute("RELEASE event")  # the name would else stand for the oldest one undone
    except sqlite3.OperationalError as error:
        if "no such savepoint" not in str(error):
            raise


def in_transaction(connection: sqlite3.Connection) -> bool:
    """False also where it is closed: a signal may leave a block of these behind that is torn down only then."""
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:
        return False


def _unwritten(file: Path, connection: sqlite3.Connection, error: sqlite3.Error) -> RunError:
    if in_transaction(connection):
        connection.execute("ROLLBACK")
    return RunError(_words(file, error))


def _words(file: Path, error: sqlite3.Error) -> str:
    return f"{file}: cannot be written: {error}"


def checksum(row: Sequence[Any]) -> int:
    """CRC-32 of a row: SQLite itself does not notice where a bit of a value has changed on the disk."""
    return zlib.crc32(json.dumps(row, default=bytes.hex).encode())


def check_sums(file: Path, connection: sqlite3.Connection) -> None:
    """RunError where a row is not as it was written, or one is gone; versions before 3 had no sums to tell by."""
    if version_of(connection) < 3:
        return
    for kind, table in TABLES.items():
        query = f"SELECT events.sum, {table}.* FROM events JOIN {table} USING (seq) WHERE kind = ?"
        found = 0
        for told, *row in connection.execute(query, (kind,)):
            found += 1
            if told is not None and told != checksum(row):
                raise damaged(file, f"table {table}: the row that begins with {row[:2]} is not as it was written")
        (expected,) = connection.execute("SELECT count(*) FROM events WHERE kind = ?", (kind,)).fetchone()
        (there,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        if not found == expected == there:
            raise damaged(file, f"table {table}: got {there} rows; expected {expected}, one for each event {kind!r}")


def version_of(connection: sqlite3.Connection) -> int:
    """Version of the schema."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version


def damaged(file: Path, how: str) -> RunError:
    """The error of an archive that is not as it was written."""
    return RunError(f"{file}: damaged: {' '.join(how.split())}")


def unread(file: Path, error: Exception) -> RunError:
    """The error of an archive that SQLite cannot read: it is damaged, unless the system would not let it be read."""
    if getattr(error, "sqlite_errorname", "").startswith(SYSTEM):
        return RunError(f"{file}: cannot be read: {error}")
    return damaged(file, str(error))


def _check(file: Path, connection: sqlite3.Connection) -> None:
    """RunError unless this is a sound archive of this version or one before it."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    version = version_of(connection)
    if application != APPLICATION:
        raise damaged(file, "it is no archive, but another program's database or an empty file")
    if not 1 <= version <= VERSION:
        raise RunError(f"{file}: got schema version {version}; expected 1 to {VERSION} (made by another gas)")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    expected = set(SCHEMA) - ({"climbs"} if version < 3 else set())
    if missing := sorted(expected - tables):
        raise damaged(file, f"table {', '.join(missing)} is missing")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(file, verdict)


def _bring_up(connection: sqlite3.Connection) -> None:
    """Adds what an older version lacks, all of it or nothing."""
    if version_of(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)  # another process may have been here meanwhile
        if version < 2:
            connection.execute("ALTER TABLE told ADD COLUMN probes TEXT NOT NULL DEFAULT ''")
        if version < 3:
            connection.execute(f"CREATE TABLE climbs ({SCHEMA['climbs']})")
            connection.execute("ALTER TABLE events ADD COLUMN sum INTEGER")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _uri(file: Path, readonly: bool) -> str:
    if not readonly:
        return f"{file.resolve().as_uri()}?mode=rw"
    # A reader of a write-ahead log makes a small file beside it. Where it may not, and no log is there, nobody writes.
    lone = not os.access(file.parent, os.W_OK) and not file.with_name(f"{file.name}-wal").exists()
    return f"{file.resolve().as_uri()}?{'immutable=1' if lone else 'mode=ro'}"
