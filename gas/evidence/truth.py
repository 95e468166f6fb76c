"""The truth that scores are held against: designs of a space, each trained by itself, or a table that exists."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gas.architecture import Architecture
from gas.errors import DesignError, RunError, SettingError, describe
from gas.evaluation import Candidate
from gas.evaluators import Work
from gas.evaluators import create as create_evaluator
from gas.evidence.files import Table, number, read_table
from gas.evidence.noise import Noise, noise_of
from gas.plan import plan
from gas.proxies import PROXIES, Fidelity

if TYPE_CHECKING:
    import pandas as pd

    from gas.space import SearchSpace

TRAINING = "short_training"
"""The proxy that trains the designs, at a fidelity at which they converge."""
FULL: Mapping[str, Any] = {"width": 1.0, "images": None, "validation": None, "classes": None, "batch": 32, "rate": 2e-3}
STEPS = 1500
FULL_ON: Mapping[str, Mapping[str, Any]] = {
    # As many steps as bring 1,257 digits by 15 times; so much noise that designs differ by more than their seeds do.
    "digits": {"noise": 5.0, "steps": 600, "resolution": 32},
    "procedural": {"images": 4096, "validation": 2048, "classes": 128, "noise": 1.0, "steps": 1200},
}
"""What differs on a data source; of folders all images are taken."""
SIDE = 64
"""Side of the images at most, unless the fidelity says otherwise, pixels."""
COLUMNS = ("id", "seed", "accuracy", "loss", "train_loss", "seconds", "macs", "params", "design")
FAILURES = ("id", "seed", "seconds", "reason", "design")
BLOCK, PATIENCE = 64, 4  # designs drawn at a time; how often they may bring nothing new
SEEDS = 3
"""Trainings of a design that is trained again, the first one included."""

Watch = Callable[[int, int, str], None]
"""Called with how many trainings or scores are done, of how many, and what is going on."""


@dataclass(frozen=True)
class Job:
    """One training: of which design, with which seed."""

    design: Architecture
    seed: int


def full_fidelity(data: str, side: int, changes: Mapping[str, Any]) -> Fidelity:
    """The fidelity of the truth.

    Args:
        data: Data source, or a folder.
        side: Largest side of the images that the designs are for, pixels.
        changes: Fields that shall differ.

    Raises:
        SettingError: A field that cannot be.
    """
    own = {"resolution": min(side, SIDE), "steps": STEPS, **FULL_ON.get(data, {})}
    own["resolution"] = min(own["resolution"], side)
    return Fidelity.of({**FULL, **own, **changes}, PROXIES.get(TRAINING).default_fidelity)


def draw(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Different designs drawn uniformly from all within the bounds; fewer where the space has hardly any more.

    A greater count adds to the designs of a smaller one.
    """
    found: dict[str, Architecture] = {}
    fruitless = 0
    for block in itertools.count():
        before = len(found)
        for design in space.sample_feasible(BLOCK, np.random.default_rng([seed, block])):
            found.setdefault(design.id, design)
        fruitless = fruitless + 1 if len(found) == before else 0
        if len(found) >= count or fruitless == PATIENCE:
            return list(found.values())[:count]
    raise AssertionError("unreachable")


def jobs(designs: Sequence[Architecture], again: int) -> list[Job]:
    """All designs with seed 0, then the first `again` of them with further seeds."""
    first = [Job(design, 0) for design in designs]
    return first + [Job(design, seed) for seed in range(1, SEEDS) for design in designs[:again]]


class Truth:
    """The trainings of a folder: `truth.csv`, and `failures.csv` for those of which nothing came.

    Args:
        folder: Where the two files are, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.table = Table(folder / "truth.csv", COLUMNS)
        self.failures = Table(folder / "failures.csv", FAILURES)

    def done(self) -> set[tuple[str, int]]:
        """Ids and seeds of all trainings that have ended, failed ones among them."""
        rows = (*self.table.rows, *self.failures.rows)
        return {(row["id"], int(number(row["seed"], "truth.csv: seed"))) for row in rows}

    def train(
        self,
        wanted: Sequence[Job],
        settings: Mapping[str, Any],
        *,
        until: float = math.inf,
        workers: int = 1,
        address: str | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Trains what is not done yet, and puts every result on the disk.

        Args:
            wanted: The trainings, in order.
            settings: Of the proxy that trains: `data`, `fidelity`, `seed` (of the data).
            until: Value of `time.monotonic()` after which none is begun. The trainings of one seed get the share of
                the time that their number is of all.
            workers: Trainings at once; more than one run on Ray.
            address: Of a running Ray cluster.
            watch: Told of every result.

        Raises:
            GasError: The data or a setting cannot be used; a file cannot be written.
        """
        done = self.done()
        rest = [job for job in wanted if (job.design.id, job.seed) not in done]
        told = 0
        for seed in sorted({job.seed for job in rest}):
            mine = [job.design for job in rest if job.seed == seed]
            now = time.monotonic()
            share = len(mine) / sum(job.seed >= seed for job in rest)
            end = until if until == math.inf else now + (until - now) * share
            if end <= now:
                return
            work = Work(((TRAINING, dict(settings)),), score_seed=seed)
            for design, outcome in evaluated(work, mine, until=end, workers=workers, address=address):
                told += 1
                self._add(design, seed, outcome.metrics, outcome.seconds, outcome.reason)
                if watch is not None:
                    watch(told, len(rest), f"training with seed {seed}")

    def _add(self, design: Architecture, seed: int, metrics: Mapping[str, float], seconds: float, reason: str) -> None:
        row: dict[str, Any] = {"id": design.id, "seed": seed, "seconds": round(seconds, 2), "design": design.to_json()}
        if reason:
            self.failures.add(row | {"reason": reason})
            return
        names = {"accuracy": TRAINING, "loss": f"{TRAINING}_loss", "train_loss": f"{TRAINING}_train_loss"}
        cost = plan(design).cost
        self.table.add(
            row | {name: metrics[key] for name, key in names.items()} | {"macs": cost.macs, "params": cost.params}
        )


def evaluated(
    work: Work,
    designs: Sequence[Architecture],
    *,
    until: float = math.inf,
    workers: int = 1,
    address: str | None = None,
) -> Iterator[tuple[Architecture, Any]]:
    """Designs with what came of each, as they come; none is begun after `until`, those that were are waited for."""
    if not designs or time.monotonic() >= until:
        return
    name = "ray" if workers > 1 or address else "in_process"
    with create_evaluator(name, work, workers=workers if name == "ray" else 1, address=address) as evaluator:
        candidates = [Candidate(number_, design) for number_, design in enumerate(designs)]
        for outcomes in evaluator.outcomes(candidates, until=until):
            for outcome in outcomes:
                yield designs[outcome.number], outcome


def read_truth(file: Path, column: str = "accuracy") -> tuple[list[Architecture], pd.DataFrame, Noise | None]:
    """A table of trainings: its designs, a row for each, and the noise between seeds.

    Args:
        file: CSV with a row per training: `design` (JSON) and the truth; `id`, `seed`, `macs`, `params` and `seconds`
            where it has them; `family`, where some of the designs are kin.
        column: The truth; rows in which it is empty are left out.

    Returns:
        The designs in order of appearance; a frame with `id`, `macs`, `params`, the truth (the mean over seeds), and
        `seeds` (how many), and `family` where the file has one; the noise, None where too few designs were trained more
        than once.

    Raises:
        RunError: The file cannot be read, or lacks a column.
        SettingError: A design of it is none.
    """
    rows = read_table(file)
    have = list(rows[0]) if rows else []
    for name in (column, "design"):
        if name not in have:
            raise RunError(f"{file}: columns: {describe(','.join(have) or 'none', f'{name} among them')}")
    return summed(rows, column, where=str(file))


def summed(
    rows: Sequence[Mapping[str, str]], column: str = "accuracy", *, where: str = "truth"
) -> tuple[list[Architecture], pd.DataFrame, Noise | None]:
    """As `read_truth`, from rows that are read already."""
    import pandas as pd

    designs: dict[str, Architecture] = {}
    families: dict[str, str] = {}
    results: dict[str, list[tuple[float, float]]] = {}
    for place, row in enumerate(rows, 2):
        at = f"{where}: row {place}"
        value, seed = number(row[column], f"{at}: {column}"), number(row.get("seed", "0"), f"{at}: seed")
        if not math.isfinite(value):
            continue
        try:
            design = Architecture.from_json(row["design"])
        except (DesignError, json.JSONDecodeError) as error:
            raise SettingError(f"{at}: design: got {row['design'][:40]!r}; expected the JSON of a design") from error
        designs.setdefault(design.id, design)
        if row.get("family"):
            families.setdefault(design.id, row["family"])
        results.setdefault(design.id, []).append((seed, value))
    lists = {name: [value for _, value in sorted(values)] for name, values in results.items()}
    table = []
    for name, design in designs.items():
        cost = plan(design).cost
        values = lists[name]
        mean = sum(values) / len(values)
        table.append({"id": name, "macs": cost.macs, "params": cost.params, column: mean, "seeds": len(values)})
    frame = pd.DataFrame(table, columns=["id", "macs", "params", column, "seeds"])
    if families:
        frame["family"] = [families.get(name, name) for name in frame["id"]]
    return list(designs.values()), frame, noise_of(lists)
