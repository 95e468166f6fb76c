"""Disks that are full, files that are damaged, drivers that come second: each done to small searches many times."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults.campaign import Setting, Tally, acked_in, clear_end, clocked, close_up, go_on, look, rows_of
from faults.nursery import Blow, Ended, Nursery, Order

from gas.archive import FILE, Archive
from gas.errors import GasError
from gas.run import open_run

PAGE = 4096
LARGEST = 400_000  # no file of the searches here grows so large
STATE = 300_000  # bytes of a state that is larger than any other file of its run


# Full disks


def full_campaign(nursery: Nursery, setting: Setting, folder: Path, seed: int, count: int) -> Tally:
    """Searches none of whose files may grow beyond a random size, cut off and then gone on with where there is room."""
    rng = random.Random(seed)
    tally = Tally(f"file at its largest size, {setting.kind}")
    with clocked(tally):
        for index in range(count):
            here = folder / f"{setting.kind}-full-{seed}-{index}"
            here.mkdir()
            target = rng.choice(("archive", "log") + ("states",) * (setting.kind == "ladder"))
            largest = _room(nursery, setting, here, target, rng)
            more = {"STAIRS_BYTES": str(STATE)} if target == "states" else {}
            words = go_on(setting, here / "run")
            before = rows_of(here / "run")
            (ended,) = nursery.run(Order(words, str(here), environment=more, largest=largest))
            note = f"seed {seed}, {index}: {target} up to {largest} bytes"
            _after_full(tally, nursery, setting, here, before, ended, note)
    return tally


def _room(nursery: Nursery, setting: Setting, here: Path, target: str, rng: random.Random) -> int:
    """What files may grow to, so that the target is the one that cannot; the log's run has begun and has a long log."""
    if target == "states":
        return rng.randint(LARGEST // 2, STATE)
    if target == "archive":
        return rng.randint(1, LARGEST // 2)
    out = here / "run"
    while not (out / "run.json").exists():
        blow = Blow(signal.SIGKILL, call=rng.randint(setting.calls // 5, setting.calls // 3))
        nursery.run(Order(setting.words(out), str(here), blow))
    with (out / "log.txt").open("a") as log:
        log.write(f"{'x' * 99}\n" * (LARGEST // 100))
    return (out / "log.txt").stat().st_size + rng.randint(0, 1500)


def _after_full(
    tally: Tally, nursery: Nursery, setting: Setting, here: Path, before: list, ended: Ended, note: str
) -> None:
    out = here / "run"
    rows = look(tally, out, setting.kind, before, acked_in(here), note)
    tally.before += sum(row.event == "told" for row in rows)
    if ended.status:
        tally.blows += 1
        said = ended.errors.splitlines()
        tally.add("unclear", int(not clear_end(ended) or ended.status != 2 or len(said) != 1), f"{note}: {ended}")
    words = go_on(setting, out)
    tally.resumed += words[1] == "--resume"
    (ended,) = nursery.run(Order(words, str(here)))
    tally.add("unclear", int(ended.status != 0), f"{note}, with room again: {ended}")
    rows = look(tally, out, setting.kind, rows, acked_in(here), note)
    close_up(tally, setting, out, rows, note)


@contextlib.contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Callable[[int], None]]:
    """A file system of so many KiB in a folder, and what makes it larger; OSError where none can be mounted."""
    _mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder))
    try:
        yield lambda more: _mount("-o", f"remount,size={more}k", str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())


def disk_campaign(nursery: Nursery, setting: Setting, folder: Path, seed: int, count: int) -> Tally:
    """Searches on a disk of a random size that fills up, gone on with once it is larger."""
    rng = random.Random(seed)
    tally = Tally(f"disk full, {setting.kind}")
    with clocked(tally):
        for index in range(count):
            here = folder / f"{setting.kind}-disk-{seed}-{index}"
            disk = here / "disk"
            disk.mkdir(parents=True)
            kib = rng.randint(8, 1000)
            with small_disk(disk, kib) as grow:
                # Without --json: the figures at the end are written too.
                words = tuple(word for word in setting.words(disk / "run") if word != "--json")
                (ended,) = nursery.run(Order(words, str(here)))
                note = f"seed {seed}, {index}: a disk of {kib} KiB"
                rows = look(tally, disk / "run", setting.kind, [], acked_in(here), note)
                tally.before += sum(row.event == "told" for row in rows)
                if ended.status:
                    tally.blows += 1
                    unclear = not clear_end(ended) or ended.status != 2
                    tally.add("unclear", int(unclear), f"{note}: {ended}")
                grow(4096)
                words = go_on(setting, disk / "run")
                tally.resumed += words[1] == "--resume"
                (ended,) = nursery.run(Order(words, str(here)))
                tally.add("unclear", int(ended.status != 0), f"{note}, with room again: {ended}")
                rows = look(tally, disk / "run", setting.kind, rows, acked_in(here), note)
                close_up(tally, setting, disk / "run", rows, note)
    return tally


# Damaged archives


def _garbage_tail(file: Path, rng: random.Random) -> str:
    data = bytearray(file.read_bytes())
    count = rng.randint(1, min(2 * PAGE, len(data)))
    data[-count:] = rng.randbytes(count)
    file.write_bytes(data)
    return f"{count} random bytes at the end of {file.name}"


def _truncated(file: Path, rng: random.Random) -> str:
    size = file.stat().st_size
    left = rng.randint(max(size - 4 * PAGE, 0), size - 1)
    with file.open("r+b") as stream:
        stream.truncate(left)
    return f"{file.name} cut to {left} of {size} bytes"


def _zeroed_page(file: Path, rng: random.Random) -> str:
    data = bytearray(file.read_bytes())
    page = rng.randrange(max(len(data) // PAGE, 1))
    data[page * PAGE : (page + 1) * PAGE] = bytes(len(data[page * PAGE : (page + 1) * PAGE]))
    file.write_bytes(data)
    return f"page {page} of {file.name} zeroed"


def _flipped(file: Path, rng: random.Random) -> str:
    data = bytearray(file.read_bytes())
    at = rng.randrange(len(data))
    bit = 1 << rng.randrange(8)
    data[at] ^= bit
    file.write_bytes(data)
    return f"bit {bit} of byte {at} of {file.name} flipped"


DAMAGES = {"garbage": _garbage_tail, "truncated": _truncated, "zeroed": _zeroed_page, "flipped": _flipped}


def damage_campaign(
    nursery: Nursery,
    setting: Setting,
    folder: Path,
    seed: int,
    count: int,
    part: str,
    damages: Sequence[str] = tuple(DAMAGES),
) -> Tally:
    """Archives damaged after a kill and gone on with, or refused in one clear line that says so.

    Args:
        nursery: Runs the searches.
        setting: The kind of search.
        folder: Where the runs stand.
        seed: Of all that is drawn.
        count: Damages.
        part: What is damaged: `wal`, the log with what came last; or `main`, the file that it goes into at the end.
        damages: Keys of DAMAGES to draw from.
    """
    rng = random.Random(seed)
    tally = Tally(f"archive damaged, {part}, {setting.kind}")
    with clocked(tally):
        for index in itertools.count():
            if tally.blows == count:
                break
            here = folder / f"{setting.kind}-{part}-{seed}-{index}"
            here.mkdir()
            out = here / "run"
            rows = _begun(nursery, setting, here, part, rng)
            file = out / (FILE + "-wal" * (part == "wal"))
            if not rows or not file.exists() or not file.stat().st_size:
                continue  # the kill came before the first commit, or after the last
            # The index of the log is a cache in memory, of processes that run: after a power cut it is not there.
            (out / f"{FILE}-shm").unlink(missing_ok=True)
            what = rng.choice(damages)
            note = f"seed {seed}, {here.name}: {DAMAGES[what](file, rng)}"
            tally.blows += 1
            tally.before += sum(row.event == "told" for row in rows)
            _after_damage(tally, nursery, setting, out, rows, note)
    return tally


def _begun(nursery: Nursery, setting: Setting, here: Path, part: str, rng: random.Random) -> list:
    """The rows of a run that was killed in the middle, its log of writes still beside it or taken into the file."""
    out = here / "run"
    blow = Blow(signal.SIGKILL, call=rng.randint(setting.calls // 4, setting.calls // 2))
    nursery.run(Order(setting.words(out), str(here), blow))
    if not (out / "run.json").exists():
        return []
    if part == "main":
        with contextlib.closing(Archive.open(out)):
            pass  # the last to close it takes the log of writes into the file
    return rows_of(out)


def _after_damage(tally: Tally, nursery: Nursery, setting: Setting, out: Path, rows: list, note: str) -> None:
    try:
        open_run(out).front()
        with Archive.open(out, readonly=True) as archive:
            list(archive.events())
    except GasError as error:
        tally.add("unclear", int("\n" in str(error)), f"{note}: {error}")
    except Exception as error:
        tally.add("unclear", 1, f"{note}: reading: {type(error).__name__}: {error}")
    tally.resumed += 1
    (ended,) = nursery.run(Order(go_on(setting, out), str(out.parent)))
    if ended.status:  # it must say what is damaged, in one line, and leave the file as it is
        clear = clear_end(ended) and ended.status == 2 and "damaged" in ended.errors
        tally.add("unclear", int(not clear), f"{note}: {ended}")
        tally.refused += 1
        return
    found = look(tally, out, setting.kind, [], 0, note)
    # What came after the damage was evaluated anew; what came before it is as it was.
    same = sum(mine == theirs for mine, theirs in zip(rows, found, strict=False))
    tally.kept += sum(row.event == "told" for row in rows[:same])
    close_up(tally, setting, out, found, note)


# Two drivers


REFUSALS = ("another search is writing to this run", "another search has just begun a run here", "that exists already")


def race_campaign(nursery: Nursery, setting: Setting, folder: Path, seed: int, count: int) -> Tally:
    """Two searches on one directory, begun or resumed at the same instant or a little later: one is refused."""
    rng = random.Random(seed)
    tally = Tally(f"two drivers, {setting.kind}")
    with clocked(tally):
        for index in range(count):
            here = folder / f"{setting.kind}-race-{seed}-{index}"
            folders = [here / "one", here / "other"]
            for each in folders:
                each.mkdir(parents=True)
            out = here / "run"
            rows: list = []
            if index % 2:  # a run that was killed in the middle, resumed by two
                blow = Blow(signal.SIGKILL, call=rng.randint(setting.calls // 4, setting.calls // 2))
                nursery.run(Order(setting.words(out), str(here), blow))
                rows = look(tally, out, setting.kind, [], acked_in(here), "before the race")
            words = go_on(setting, out)
            now = time.monotonic() + 0.1
            starts = [now, now + rng.choice((0.0, 0.0, rng.uniform(0, setting.seconds / 2)))]
            ends = nursery.run(*(Order(words, str(f), start_s=s) for f, s in zip(folders, starts, strict=True)))
            note = f"seed {seed}, {index}: {ends}"
            tally.blows += 1
            tally.resumed += words[1] == "--resume"
            tally.add("unclear", int(not _one_refused(ends, words)), note)
            rows = look(tally, out, setting.kind, rows, max(map(acked_in, folders)), note)
            close_up(tally, setting, out, rows, note)
    return tally


def _one_refused(ends: list[Ended], words: tuple[str, ...]) -> bool:
    statuses = sorted(ended.status for ended in ends)
    if statuses == [0, 0] and words[1] == "--resume":
        return True  # the second came when the first was done: there was nothing left to do
    refused = [ended for ended in ends if ended.status == 2]
    return (
        statuses == [0, 2]
        and clear_end(refused[0])
        and len(refused[0].errors.splitlines()) == 1
        and any(text in refused[0].errors for text in REFUSALS)
    )
