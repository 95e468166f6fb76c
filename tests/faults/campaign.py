"""Searches that are killed and resumed until they end by themselves, and what is looked at after each kill.

The archive is read here by SQL of its own, and what the proxies say is worked out anew, so that nothing is taken from
what is tested. Used by the tests and by `experiments/faults`.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from faults.nursery import Blow, Ended, Nursery, Order
from faults.stairs import NAME, STEPS, value
from small_search import fails, macs, score

from gas.architecture import Architecture
from gas.archive import FILE

BUDGET = 10
COUNTING = ("ok", "failed", "stopped")
COMMON = ("--workers", "1", "--generator", "evolution", "--option", "start=4", "--option", "population=4")
KINDS = {
    "plain": ("--proxy", "quick"),
    "ladder": ("--proxy", NAME, "--ladder", "1,2", "--fidelity", f"steps={STEPS}", "--eta", "2"),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
REFUSED = 2  # exit code of a search that cannot go on: what a kill must never leave
MOST = 60  # kills of one search, should it never get anywhere
PACE = {"QUICK_SECONDS": "0.004", "STAIRS_SECONDS": "0.002"}  # so that the clock strikes within evaluations too
SEARCHING = 0.6  # share of a search's calls in which it searches; after that it reports


@dataclass
class Tally:
    """What a campaign has seen; the numbers of WRONG must be 0.

    Args:
        kind: What was done.
        searches: Runs that came to their end.
        blows: Signals, faults or damages.
        resumed: Times that a run was gone on with.
        before: Evaluations that stood in the archive at a blow, summed over blows.
        lost: Of what was in an archive, or was said to be on the disk, what is gone or changed.
        invented: Evaluations that are not what the proxy says of their design, or of no candidate asked for.
        doubled: Candidates told twice, or designs that count twice.
        off_budget: Runs that ended with more or fewer evaluations than the budget, or a candidate never told.
        other: Runs whose evaluations are not those of an unbroken run.
        unclear: Ends with a traceback, without one line that says why, or with an exit code that fits nothing.
        refused: Damaged archives that were refused in one line, rather than gone on with.
        kept: Evaluations from before a damage that stood as they were in runs that went on.
        seconds: Wall time.
        notes: The blow and the place, for each of the above that is not as it should be.
    """

    kind: str
    searches: int = 0
    blows: int = 0
    resumed: int = 0
    before: int = 0
    lost: int = 0
    invented: int = 0
    doubled: int = 0
    off_budget: int = 0
    other: int = 0
    unclear: int = 0
    refused: int = 0
    kept: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, count: int, note: str) -> None:
        """Counts something that must not be."""
        if count:
            setattr(self, what, getattr(self, what) + count)
            self.notes.append(f"{what}: {note}")


WRONG = ("lost", "invented", "doubled", "off_budget", "other", "unclear")


def clean(tally: Tally) -> dict[str, int]:
    """What must be 0 and is not."""
    return {name: count for name in WRONG if (count := getattr(tally, name))}


@dataclass(frozen=True)
class Row:
    """One event of an archive, as the file has it; `values` holds everything of it, times and worker too."""

    seq: int
    event: str
    number: int
    values: tuple


@dataclass(frozen=True)
class Setting:
    """One kind of search, and how it goes where nobody interferes.

    Args:
        kind: A key of KINDS.
        seed: Of the search.
        space: File of the space.
        told: Number, id, status and metrics per evaluation of the unbroken run.
        calls: Profiler events of the unbroken run.
        seconds: Its wall time.
    """

    kind: str
    seed: int
    space: Path
    told: tuple
    calls: int
    seconds: float

    def words(self, out: Path) -> tuple[str, ...]:
        """Arguments that begin the search."""
        return begin_words(self.kind, self.seed, self.space, out)


def begin_words(kind: str, seed: int, space: Path, out: Path) -> tuple[str, ...]:
    """Arguments of `gas search` that begin a search of a kind."""
    where = ("--space", str(space), "--out", str(out), "--budget", str(BUDGET), "--seed", str(seed))
    return ("search", *where, *COMMON, *KINDS[kind], "--time", "none", "--json", "--quiet")


def unbroken(nursery: Nursery, kind: str, seed: int, space: Path, folder: Path) -> Setting:
    """The setting, after a run of it that nothing cuts off."""
    out = folder / f"unbroken-{kind}-{seed}"
    order = Order(begin_words(kind, seed, space, out), str(folder), Blow(signal.SIGKILL, call=10**12))
    (counted,) = nursery.run(order)
    assert counted.status == 0, counted
    again = folder / f"timed-{kind}-{seed}"
    (timed,) = nursery.run(replace(order, words=begin_words(kind, seed, space, again), blow=None, environment=PACE))
    assert outcomes(rows_of(again)) == outcomes(rows_of(out))
    return Setting(kind, seed, space, outcomes(rows_of(out)), counted.calls, timed.seconds)


def rows_of(out: Path) -> list[Row]:
    """Everything in an archive, in the order in which it happened; nothing where there is none.

    Read from a copy: a reader writes too (the index of the log of writes), and the disk may be full.
    """
    if not (out / FILE).exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        for file in out.glob(f"{FILE}*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, folder)
        return _rows(Path(folder, FILE))


def _rows(file: Path) -> list[Row]:
    found = []
    with contextlib.closing(sqlite3.connect(file)) as connection:
        for event, table in (("asked", "asked"), ("climbed", "climbs"), ("told", "told")):
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for values in cursor:
                row = dict(zip(names, values, strict=True))
                found.append(Row(row["seq"], event, row["number"], values))
    return sorted(found, key=lambda row: row.seq)


def designs(rows: list[Row]) -> dict[int, Architecture]:
    """Number -> design of what was asked for: columns number, seq, id, architecture, ..."""
    return {row.number: Architecture.from_json(row.values[3]) for row in rows if row.event == "asked"}


def outcomes(rows: list[Row]) -> tuple:
    """What was told, in that order, without times and places."""
    asked = designs(rows)
    told = [row for row in rows if row.event == "told"]
    return tuple((row.number, asked[row.number].id, row.values[2], row.values[3]) for row in told)


def look(tally: Tally, out: Path, kind: str, before: list[Row], acked: int, note: str) -> list[Row]:
    """The rows of an archive after something happened to its search; counts what is wrong with them.

    Args:
        tally: Takes what is wrong.
        out: The run.
        kind: Of the search.
        before: What was there the last time.
        acked: The last event that was said to be on the disk.
        note: What happened.
    """
    rows = rows_of(out)
    here = set(rows)
    tally.add("lost", sum(row not in here for row in before), note)
    tally.add("lost", max(acked - max((row.seq for row in rows), default=0), 0), f"{note}, said to be on the disk")
    asked = designs(rows)
    told = [row for row in rows if row.event == "told"]
    tally.add("doubled", len(told) - len({row.number for row in told}), note)
    counting = Counter(asked[row.number].id for row in told if row.values[2] in COUNTING and row.number in asked)
    tally.add("doubled", counting.total() - len(counting), f"{note}, a design")
    tally.add("invented", sum(row.number not in asked or not _true(kind, row, asked[row.number]) for row in told), note)
    return rows


def _true(kind: str, row: Row, design: Architecture) -> bool:
    """Whether what was told of a design is what the proxy says of it: columns number, seq, status, metrics, ..."""
    status, metrics = row.values[2], json.loads(row.values[3])
    if metrics["macs"] != macs(design):
        return False
    if status in ("duplicate", "stopped"):
        return not {"quick", NAME} & metrics.keys()
    if kind == "ladder":
        return status == "ok" and metrics[NAME] == value(design, STEPS)
    return status == "failed" if fails(design) else (status == "ok" and metrics["quick"] == score(design))


def close_up(tally: Tally, setting: Setting, out: Path, rows: list[Row], note: str) -> None:
    """Counts what is wrong with a run that has come to its end."""
    asked = {row.number for row in rows if row.event == "asked"}
    told = {row.number: row for row in rows if row.event == "told"}
    spent = sum(row.values[2] in COUNTING for row in told.values())
    tally.add("off_budget", int(spent != BUDGET or asked != set(told)), f"{note}: {spent} of {BUDGET}")
    tally.add("other", int(outcomes(rows) != setting.told), note)
    left = [file.name for file in out.iterdir() if file.name.endswith((".new", "states")) or "sqlite." in file.name]
    tally.add("unclear", len(left), f"{note}: left behind {left}")
    tally.searches += 1


def go_on(setting: Setting, out: Path) -> tuple[str, ...]:
    """Arguments with which a user goes on: --resume where there is a run, else the same as before."""
    if (out / "run.json").exists():
        return ("search", "--resume", str(out), "--json", "--quiet")
    return setting.words(out)


def acked_in(folder: Path) -> int:
    """The last event that a search said to be on the disk."""
    file = folder / "acked"
    words = file.read_text().split() if file.exists() else []
    return max(map(int, words), default=0)


def clear_end(ended: Ended) -> bool:
    """Whether a search that was asked to end, or could not go on, has done so in one clear line at most."""
    lines = [line for line in ended.errors.splitlines() if line.strip()]
    if ended.status == 0 or ended.status in (-signal.SIGKILL, -signal.SIGTERM):
        return not lines
    return ended.status in (2, 130) and len(lines) <= 1 and all(line.startswith("gas: ") for line in lines)


def batter(
    tally: Tally, nursery: Nursery, setting: Setting, folder: Path, rng: random.Random, *, kills: int = MOST
) -> None:
    """One search: killed at random, looked at and gone on with, until it ends by itself."""
    folder.mkdir()
    out = folder / "run"
    rows: list[Row] = []
    for attempt in range(kills + 1):
        # A run that has nothing left to evaluate mostly gets its peace, so that kills meet searches at work.
        done = sum(row.event == "told" and row.values[2] in COUNTING for row in rows) == BUDGET
        blow = draw(setting, rng) if attempt < kills and not (done and rng.random() < 0.8) else None
        words = go_on(setting, out)
        tally.resumed += words[1] == "--resume"
        (ended,) = nursery.run(Order(words, str(folder), blow, PACE))
        note = f"{setting.kind} seed {setting.seed}, {folder.name}, attempt {attempt}: {blow}"
        struck = ended.struck and (ended.status != 0 or blow.signum != signal.SIGKILL)
        tally.blows += struck
        tally.add("unclear", int(not clear_end(ended)), f"{note}: {ended}")
        tally.add("off_budget", int(ended.status == REFUSED), f"{note}, cannot be gone on with: {ended.errors}")
        rows = look(tally, out, setting.kind, rows, acked_in(folder), note)
        if ended.status in (0, REFUSED):
            break
        tally.before += sum(row.event == "told" for row in rows)
    close_up(tally, setting, out, rows, f"{setting.kind} seed {setting.seed}, {folder.name}")


def draw(setting: Setting, rng: random.Random) -> Blow:
    """A blow at a random moment: two of three at a call that a seed repeats, one by the clock."""
    signum = rng.choice(SIGNALS)
    if rng.random() < 2 / 3:
        last = setting.calls * (SEARCHING if rng.random() < 0.8 else 1.02)
        return Blow(signum, call=rng.randint(1, int(last)))
    return Blow(signum, after_s=rng.uniform(0, 1.1 * setting.seconds))


def kill_campaign(nursery: Nursery, settings: list[Setting], folder: Path, seed: int, kills: int) -> Tally:
    """So many kills at least, over as many searches as that takes."""
    rng = random.Random(seed)
    tally = Tally(f"driver killed, {settings[0].kind}")
    with clocked(tally):
        while tally.blows < kills:
            batter(
                tally,
                nursery,
                settings[tally.searches % len(settings)],
                folder / f"{settings[0].kind}-{seed}-{tally.searches}",
                rng,
            )
    return tally


@contextlib.contextmanager
def clocked(tally: Tally) -> Iterator[None]:
    """Adds the time that it takes."""
    begin = time.monotonic()
    try:
        yield
    finally:
        tally.seconds += time.monotonic() - begin
