"""Archives whose end, or whose middle, is not as it was written; and two searches that want one directory."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest
from faults.campaign import Setting, clean
from faults.damages import damage_campaign, race_campaign
from faults.nursery import Nursery
from small_search import QUICK, quick_proxy, written

from gas.archive import FILE, Archive
from gas.errors import RunError
from gas.session import search


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an archive with 12 evaluations."""
    folder = tmp_path_factory.mktemp("sound")
    with quick_proxy():
        run = search(written(folder), out=folder / "run", budget=12, **QUICK)
    return (run.path / FILE).read_bytes()


@pytest.mark.parametrize("kind", ["plain", pytest.param("ladder", marks=pytest.mark.slow)])
def test_a_damaged_log_of_writes_costs_only_what_stood_behind_the_damage(
    kind: str, nursery: Nursery, settings: dict[str, list[Setting]], folder: Path, seed: int
) -> None:
    tally = damage_campaign(nursery, settings[kind][0], folder, seed, 10, "wal")
    print(f"seed {seed}: {tally}")
    assert not clean(tally), tally.notes
    assert tally.refused == 0
    assert tally.kept > 0


def test_a_damaged_archive_is_refused_in_one_line_or_gone_on_with(
    nursery: Nursery, settings: dict[str, list[Setting]], folder: Path, seed: int
) -> None:
    tally = damage_campaign(nursery, settings["plain"][0], folder, seed, 8, "main", ("garbage", "truncated", "zeroed"))
    print(f"seed {seed}: {tally}")
    assert not clean(tally), tally.notes
    assert tally.refused > 0


def test_whatever_bit_is_flipped_reading_gives_no_traceback(sound: bytes, tmp_path: Path) -> None:
    rng = random.Random(0)
    said = []
    for _ in range(600):
        data = bytearray(sound)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / FILE).write_bytes(data)
        try:
            with Archive.open(tmp_path, readonly=True) as archive:
                list(archive.events())
        except RunError as error:
            said.append(str(error))
    assert len(said) > 50
    for text in said:
        assert "damaged: " in text or "expected 1 to " in text
        assert "\n" not in text


@pytest.mark.parametrize(
    "how",
    [
        "UPDATE events SET seq = seq; UPDATE told SET seq = 'x' WHERE number = 3",
        "UPDATE asked SET architecture = CAST(x'7bff7d' AS TEXT) WHERE number = 3",
    ],
)
def test_values_of_the_wrong_kind_are_damage(how: str, sound: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(sound)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(how)
    with Archive.open(tmp_path, readonly=True) as archive, pytest.raises(RunError, match="damaged: "):
        list(archive.events())


@pytest.mark.parametrize("kind", ["plain", pytest.param("ladder", marks=pytest.mark.slow)])
def test_of_two_searches_on_one_directory_one_is_refused(
    kind: str, nursery: Nursery, settings: dict[str, list[Setting]], folder: Path, seed: int
) -> None:
    tally = race_campaign(nursery, settings[kind][0], folder, seed, 10)
    print(f"seed {seed}: {tally}")
    assert not clean(tally), tally.notes
    assert tally.blows == 10
