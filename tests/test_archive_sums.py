"""What has changed on the disk is noticed: SQLite does not see a bit that turned within a value."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from test_archive import candidate, fill

from gas.archive import FILE, Archive
from gas.errors import RunError


def filled(folder: Path, count: int = 12) -> bytes:
    """An archive with evaluations and a measurement, all in the main file; gives its bytes."""
    with Archive.create(folder) as archive:
        fill(archive, [(0.1 * n, 100 + n) for n in range(count)])
        times = {"median_ms": 1.5, "q1_ms": 1.25, "q3_ms": 1.75, "repeats": 9}
        archive.measure(candidate(0).architecture.id, target="cpu_eager", batch=1, threads=1, **times)
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return (folder / FILE).read_bytes()


def read(folder: Path) -> tuple:
    with Archive.open(folder, readonly=True) as archive:
        return tuple(archive.events()), archive.frame().to_csv()


def test_a_bit_that_turned_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    before = read(tmp_path)
    rng = random.Random(5)
    refused = 0
    for _ in range(400):
        place, bit = rng.randrange(len(whole)), rng.randrange(8)
        broken = bytearray(whole)
        broken[place] ^= 1 << bit
        (tmp_path / FILE).write_bytes(broken)
        for beside in ("-wal", "-shm"):
            (tmp_path / f"{FILE}{beside}").unlink(missing_ok=True)
        try:
            after = read(tmp_path)
        except RunError:
            refused += 1
        else:
            assert after == before, f"byte {place}, bit {bit}"
    assert refused > 40


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("UPDATE told SET seconds = 9.5 WHERE number = 3", r"table told: the row that begins with .* is not as it was"),
        ("UPDATE asked SET origin = 'elsewhere' WHERE number = 3", r"table asked: the row that begins with .*"),
        ("UPDATE measurements SET median_ms = 0.5", r"table measurements: the row that begins with .*"),
        ("DELETE FROM told WHERE number = 3", r"table told: got 11 rows; expected 12, one for each event 'told'"),
        ("DELETE FROM events WHERE kind = 'measured'", r"table measurements: got 1 rows; expected 0"),
    ],
)
def test_a_row_that_was_changed_or_is_gone_is_said(how: str, problem: str, tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(how)
    connection.close()
    with Archive.open(tmp_path) as archive, pytest.raises(RunError, match=problem):
        archive.frame()
