"""Tables that grow a row at a time: each row is on the disk before the next is begun, and a cut-off one is dropped."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gas.errors import RunError, describe


class Table:
    """A CSV file that rows are added to.

    Args:
        file: The file; made with the first row. What is there is read.
        columns: Its columns; a file with others in another order is read all the same, and added to in its own.

    Attributes:
        rows: All rows, as text.

    Raises:
        RunError: The file cannot be read, or lacks one of the columns.
    """

    def __init__(self, file: Path, columns: Sequence[str]) -> None:
        self.file, self.columns = file, tuple(columns)
        self.rows: list[dict[str, str]] = []
        if not file.exists():
            return
        try:
            text = file.read_bytes().decode("utf-8")
            whole = text[: text.rfind("\n") + 1]  # a process that was killed may have left half of a line
            if whole != text:
                with file.open("r+b") as stream:
                    stream.truncate(len(whole.encode()))
        except (OSError, UnicodeError) as error:
            raise RunError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if not whole:
            return
        self.rows = _parsed(file, whole)
        found = tuple(next(csv.reader(io.StringIO(whole))))
        for column in columns:
            if column not in found:
                raise RunError(f"{file}: columns: {describe(','.join(found), f'{column} among them', known=found)}")
        self.columns = found

    def add(self, row: Mapping[str, Any]) -> None:
        """Puts a row on the disk; RunError where it cannot be."""
        written = {name: _text(row.get(name)) for name in self.columns}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if not self.file.exists() or self.file.stat().st_size == 0:
            writer.writerow(self.columns)
        writer.writerow(written.values())
        try:
            with self.file.open("ab") as stream:
                stream.write(out.getvalue().encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise RunError(f"{self.file}: cannot be written: {error.strerror}") from error
        self.rows.append(written)


def read_table(file: Path) -> list[dict[str, str]]:
    """Every row of a CSV file, as text; RunError where it is none."""
    try:
        return _parsed(file, file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise RunError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def number(text: str | None, where: str) -> float:
    """A cell as a number; NaN for an empty one, RunError for words."""
    if not (text or "").strip():
        return math.nan
    try:
        return float(text or "")
    except ValueError as error:
        raise RunError(f"{where}: {describe(text, 'a number, or nothing')}") from error


def _parsed(file: Path, text: str) -> list[dict[str, str]]:
    lines = csv.DictReader(io.StringIO(text))
    try:
        rows = list(lines)
    except csv.Error as error:
        raise RunError(f"{file}: cannot be read: {error}") from error
    for number_, row in enumerate(rows, 2):
        if None in row or None in row.values():
            expected = f"{len(lines.fieldnames or ())} columns, as in the first line"
            raise RunError(f"{file}: row {number_}: got another number of columns; expected {expected}")
    return rows


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)
