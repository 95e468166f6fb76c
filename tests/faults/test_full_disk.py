"""Disks without room: a search says so in one line, loses nothing, and goes on once there is room."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.campaign import Setting, clean
from faults.damages import disk_campaign, full_campaign, small_disk
from faults.nursery import Nursery
from small_search import QUICK, quick_proxy, written

from gas.archive import Archive
from gas.cli import main
from gas.errors import RunError
from gas.session import search


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where no small disk can be had: that takes root."""
    try:
        with small_disk(tmp_path_factory.mktemp("disk"), 64):
            pass
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")


@pytest.mark.parametrize("kind", ["plain", "ladder"])
def test_a_file_that_may_not_grow_ends_the_search_in_one_line(
    kind: str, nursery: Nursery, settings: dict[str, list[Setting]], folder: Path, seed: int
) -> None:
    tally = full_campaign(nursery, settings[kind][0], folder, seed, 6)
    print(f"seed {seed}: {tally}")
    assert not clean(tally), tally.notes
    assert tally.blows > 0


@pytest.mark.parametrize("kind", ["plain", pytest.param("ladder", marks=pytest.mark.slow)])
def test_a_disk_that_fills_up_ends_the_search_in_one_line(
    kind: str, mounts: None, nursery: Nursery, settings: dict[str, list[Setting]], folder: Path, seed: int
) -> None:
    tally = disk_campaign(nursery, settings[kind][0], folder, seed, 6)
    print(f"seed {seed}: {tally}")
    assert not clean(tally), tally.notes
    assert tally.blows > 0


def test_an_archive_is_made_whole_or_not_at_all_on_every_size_of_disk(mounts: None, tmp_path: Path) -> None:
    made = []
    for kib in range(4, 120, 4):
        with small_disk(tmp_path, kib) as grow:
            try:
                Archive.create(tmp_path).close()
            except RunError:
                if not (tmp_path / "archive.sqlite").exists():
                    assert list(tmp_path.iterdir()) == []
            grow(4096)
            there = (tmp_path / "archive.sqlite").exists()
            made.append(there)
            with (Archive.open if there else Archive.create)(tmp_path) as archive:
                assert archive.candidates() == []
    assert not made[0]
    assert made[-1]


def test_what_a_killed_beginning_left_is_removed(tmp_path: Path) -> None:
    for name in ("archive.sqlite.12", "archive.sqlite.12-journal"):
        (tmp_path / name).write_text("half")
    Archive.create(tmp_path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["archive.sqlite"]


def test_a_front_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with quick_proxy():
        run = search(written(tmp_path), out=tmp_path / "run", budget=2, **QUICK)
        (run.path / "front.csv").unlink()
        (run.path / "front.csv").mkdir()
        assert main(["search", "--resume", str(run.path), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"gas: {run.path / 'front.csv'}: cannot be written: Is a directory"
