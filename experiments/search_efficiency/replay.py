"""One search of a problem that is answered at once: who is asked, what is told, and what is written down.

Shapes: N designs, D decisions, P points of the record.
"""

from __future__ import annotations

import csv
import io
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from problem import hypervolume
from samplers import Sampler

from gas import pareto
from gas.evaluation import Objective
from gas.plan import plan
from gas.space import SearchSpace
from gas.space.designs import Designs
from gas.space.writing import Writer

# Fine where searches differ most: so evaluations needed to reach something are told to within 2 below 100.
RECORD = (*range(1, 20), *range(20, 100, 2), *range(100, 200, 5), *range(200, 10_000, 25))
ASKED_ABOUT = (65, 118)

MEASURES = ("evaluations", "hypervolume", "picked", "duplicates", "infeasible", "cpu_ms", "wall_ms")


class Problem(ABC):
    """What is searched.

    Args:
        space: Its designs.
        objectives: An unknown to be made large, then macs and params to be made small.
        point: Reference point of the hypervolume: the unknown's value and both bounds.
    """

    def __init__(self, space: SearchSpace, objectives: Sequence[Objective], point: dict[str, float]) -> None:
        self.space, self.objectives, self.point = space, tuple(objectives), point
        self._limits = np.array([point["macs"], point["params"]])
        self._writer = Writer(space.arrays, space.decisions, None)

    @abstractmethod
    def answer(self, designs: Designs, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) the unknown as it is, and as it is told; `inside` says which designs keep the bounds."""

    def volume(self, accuracy: NDArray, costs: NDArray) -> float:
        """Hypervolume of designs with (N,) accuracies and (N, 2) macs and params, all within the bounds."""
        if not len(accuracy):
            return 0.0
        return hypervolume(accuracy, costs[:, 0], costs[:, 1], self.point, self.objectives[0].metric)

    def decode(self, codes: NDArray[np.int64]) -> Designs:
        """The designs that choice numbers mean; the nearest where a choice is not possible after those before it."""
        return self._writer.write(codes, np.random.default_rng(0))[0]

    def costs(self, designs: Designs) -> NDArray[np.float64]:
        """(N, 2) macs and params, by the tables and by the plan of each design."""
        table = np.column_stack([designs.macs, designs.params])
        planned = [plan(design).cost for design in designs]
        assert table.tolist() == [[cost.macs, cost.params] for cost in planned], "tables and plans count otherwise"
        return table.astype(float)

    def violations(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) how far each cost is above its bound, as a share of it; below it negative."""
        return costs / self._limits - 1.0


@dataclass
class Progress:
    """What a search has seen, in the order it was told."""

    accuracy: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    costs: list[NDArray] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    duplicates: int = 0
    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time of what stands within."""
        wall, cpu = time.perf_counter(), time.thread_time()
        yield
        self.cpu, self.wall = self.cpu + time.thread_time() - cpu, self.wall + time.perf_counter() - wall

    def row(self, problem: Problem, n: int) -> list[str]:
        """The measures after `n` evaluations, of which none is missing."""
        inside = np.array(self.inside[:n])
        accuracy, told = np.array(self.accuracy[:n])[inside], np.array(self.told[:n])[inside]
        costs = np.array(self.costs[:n])[inside]
        front = pareto.non_dominated(np.column_stack([-told, costs])) if len(told) else np.zeros(0, dtype=bool)
        volumes = [problem.volume(accuracy, costs), problem.volume(accuracy[front], costs[front])]
        return [
            str(n),
            *(f"{volume:.5f}" for volume in volumes),
            str(self.duplicates),
            str(int((~inside).sum())),
            f"{1e3 * self.cpu:.0f}",
            f"{1e3 * self.wall:.0f}",
        ]


def search(problem: Problem, sampler: Sampler, evaluations: int, batch: int) -> Iterator[list[str]]:
    """Runs one search; gives a row of MEASURES for each point of RECORD.

    Times are the calling thread's CPU time and the wall's, in `ask` and `tell` alone. `picked` is the hypervolume of
    the designs that stand on the front by what was told.
    """
    progress, seen, done = Progress(), set(), 0
    points = sorted({n for n in (*RECORD, *ASKED_ABOUT, evaluations) if n <= evaluations})
    while done < evaluations:
        with progress.timed():
            codes = sampler.ask(min(batch, evaluations - done))
        if not len(codes):
            return
        designs = problem.decode(codes)
        sampler.verify(designs)
        costs = problem.costs(designs)
        over = problem.violations(costs)
        accuracy, told = problem.answer(designs, (over <= 0).all(axis=1))
        with progress.timed():
            sampler.tell(np.column_stack([-told, costs]), over)
        for number, key in enumerate(map(bytes, designs.rows)):
            progress.duplicates += key in seen
            seen.add(key)
            progress.accuracy.append(float(accuracy[number]))
            progress.told.append(float(told[number]))
            progress.costs.append(costs[number])
            progress.inside.append(bool((over[number] <= 0).all()))
            done += 1
            if done in points:
                yield progress.row(problem, done)


class Record:
    """A CSV of searches, each written when it is done, so that it may be stopped and begun again.

    Args:
        path: The file.
        keys: Columns that name a search.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self.path, self.keys = path, tuple(keys)

    def done(self, *key: object) -> bool:
        """Whether a search is there already."""
        if not self.path.exists():
            return False
        with self.path.open(newline="") as file:
            wanted = tuple(map(str, key))
            return any(tuple(row[k] for k in self.keys) == wanted for row in csv.DictReader(file))

    def add(self, key: Sequence[object], rows: Sequence[Sequence[str]]) -> None:
        """Appends a search in one piece, so that two processes may write to one file."""
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            out.writerow([*self.keys, *MEASURES])
        out.writerows([*key, *row] for row in rows)
        with self.path.open("a", newline="") as file:
            file.write(text.getvalue())
