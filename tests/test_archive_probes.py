"""Probes in the archive: they come back as they went in, and archives from before there were any still open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_archive import candidate, evaluation, fill

from gas.archive import FILE, Archive
from gas.archive.files import SCHEMA, VERSION
from gas.errors import RunError
from gas.evaluation import Evaluation

READINGS = ({"stage": 0, "saliency": 1 / 3, "entropy": 0.0}, {"stage": 1, "saliency": 2 / 3})
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)


def probed(number: int, probes: tuple = READINGS) -> Evaluation:
    plain = evaluation(candidate(number), score=0.5)
    return Evaluation(plain.candidate, plain.status, plain.metrics, "", 0.25, probes)


def old_archive(folder: Path) -> Path:
    """As version 1 wrote it: two candidates, one told."""
    with Archive.create(folder) as archive:
        fill(archive, [(0.5, 100)])
        archive.ask(candidate(1))
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("ALTER TABLE told DROP COLUMN probes")
        connection.execute("DROP TABLE climbs")
        connection.execute("ALTER TABLE events DROP COLUMN sum")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    return folder


def columns(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / FILE)
    names = [row[1] for row in connection.execute("PRAGMA table_info(told)")]
    connection.close()
    return names


def test_probes_come_back_equal(tmp_path: Path) -> None:
    with Archive.create(tmp_path) as archive:
        for number, probes in enumerate([READINGS, (), READINGS[:1]]):
            archive.ask(candidate(number))
            archive.tell(probed(number, probes))
    with Archive.open(tmp_path, readonly=True) as archive:
        assert [e.probes for e in archive.evaluations()] == [READINGS, (), READINGS[:1]]
        assert [archive.probes(candidate(n).architecture.id) for n in range(3)] == [READINGS, (), READINGS[:1]]
        assert archive.probes("0123456789ab") == ()
        assert "probes" not in archive.frame()
        assert type(archive.evaluations()[0].probes[0]["stage"]) is int


@settings(deadline=None, max_examples=20)
@given(st.lists(st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=4))
def test_any_readings_come_back_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, readings: list) -> None:
    with Archive.create(tmp_path_factory.mktemp("archive")) as archive:
        archive.ask(candidate(0))
        archive.tell(probed(0, tuple(readings)))
        assert archive.evaluations() == [probed(0, tuple(readings))]


def test_an_archive_of_version_1_is_read_as_it_is(tmp_path: Path) -> None:
    old_archive(tmp_path)
    with Archive.open(tmp_path, readonly=True) as archive:
        assert [e.probes for e in archive.evaluations()] == [()]
        assert archive.probes(candidate(0).architecture.id) == ()
        assert archive.in_flight() == [candidate(1)]
        assert list(archive.frame()["score"]) == [0.5]
    assert "probes" not in columns(tmp_path)


def test_an_archive_of_version_1_goes_on_with_probes(tmp_path: Path) -> None:
    old_archive(tmp_path)
    with Archive.open(tmp_path, readonly=True) as reader:
        with Archive.open(tmp_path) as archive:
            before = archive.evaluations()
            archive.tell(probed(1))
        assert [e.probes for e in reader.evaluations()] == [(), ()]  # it knows what was there when it came
    with Archive.open(tmp_path) as archive:
        assert archive.evaluations() == [*before, probed(1)]
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


def test_an_archive_brought_up_to_date_has_the_columns_of_a_new_one(tmp_path: Path) -> None:
    old_archive(tmp_path)
    Archive.open(tmp_path).close()
    (tmp_path / "new").mkdir()
    Archive.create(tmp_path / "new").close()
    assert columns(tmp_path) == columns(tmp_path / "new")
    assert columns(tmp_path)[-1] == "probes"
    assert "probes" in SCHEMA["told"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "probes is no JSON"), ("{}", "probes is no list of mappings"), ("[1]", "probes is no list of mappings")],
)
def test_damaged_probes_are_said_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with Archive.create(tmp_path) as archive:
        archive.ask(candidate(0))
        archive.tell(probed(0))
        archive._connection.execute("UPDATE told SET probes = ?", (text,))
        for read in (archive.evaluations, lambda: archive.probes(candidate(0).architecture.id)):
            with pytest.raises(RunError, match=f"damaged: table told, candidate 0: {problem}"):
                read()
