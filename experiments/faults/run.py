"""Kills, full disks, damaged archives and second drivers, many times over: what was lost, in faults.csv.

    PYTHONPATH=.:tests .venv/bin/python experiments/faults/run.py [--kills 200] [--others 40] [--seed 0]

Each row is one campaign of tests/faults, where the words are explained. Ends with 1 where anything was lost, invented
or told twice, or a budget was not met exactly. Disks are mounted where this runs as root, and left out elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from faults.campaign import KINDS, Setting, Tally, clean, kill_campaign, unbroken
from faults.damages import damage_campaign, disk_campaign, full_campaign, race_campaign
from faults.nursery import Nursery
from small_search import written

HERE = Path(__file__).parent
COLUMNS = [field.name for field in dataclasses.fields(Tally) if field.name != "notes"]


def campaigns(nursery: Nursery, settings: list[Setting], folder: Path, options: argparse.Namespace) -> Iterator[Tally]:
    """One after the other, for one kind of search."""
    seed, others, first = options.seed, options.others, settings[0]
    yield kill_campaign(nursery, settings, folder, seed, options.kills)
    yield full_campaign(nursery, first, folder, seed, others)
    try:
        yield disk_campaign(nursery, first, folder, seed, others)
    except OSError as error:
        print(f"no disk was filled: {error}", file=sys.stderr)
    yield damage_campaign(nursery, first, folder, seed, others, "wal")
    yield damage_campaign(nursery, first, folder, seed, others, "main", ("garbage", "truncated", "zeroed"))
    yield race_campaign(nursery, first, folder, seed, others)


def main() -> int:
    """Runs all campaigns, and writes a row per campaign as it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="kills of the driver per kind of search")
    parser.add_argument("--others", type=int, default=40, help="faults of every other sort per kind of search")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--out", type=Path, default=HERE / "faults.csv", help="the table")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as name, Nursery() as nursery, options.out.open("w", newline="") as file:
        folder = Path(name)
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        space = written(folder)
        for kind in KINDS:
            settings = [unbroken(nursery, kind, seed, space, folder) for seed in (3, 4)]
            for tally in campaigns(nursery, settings, folder, options):
                table.writerow(dataclasses.asdict(tally) | {"seconds": round(tally.seconds, 1)})
                file.flush()
                wrong += bool(clean(tally))
                print(tally, flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
