"""Looks for the best fronts of the analytic problem: what shares of hypervolume are shares of.

    PYTHONPATH=. python experiments/search_efficiency/best_known.py 4 5 6

An evolutionary search that keeps every non-dominated design as a parent and is answered 20,000 designs at a time. Two
runs from different seeds say how far it can be trusted; the best known is what both found together. It knows the
surface without noise, and evaluates ten thousand times as much as any search that is compared.

Writes to best_known.csv, a surface at a time: surface, run (0, 1, or `both`), evaluations, designs on the front,
hypervolume, and the hypervolume of the first half of the run, which says whether it has settled.

Shapes: N designs, D decisions.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import moocore
import numpy as np
from numpy.typing import NDArray
from problem import Surface, hypervolume, reference, space

from gas.space import SearchSpace
from gas.space.writing import Writer

AT_ONCE = 20_000
PATH = Path(__file__).with_name("best_known.csv")
COLUMNS = ("surface", "run", "evaluations", "designs", "hypervolume", "halfway")


class Front:
    """The designs that none seen so far dominates.

    Attributes:
        codes: (N, D) their choice numbers; some number too where a decision does not exist, for children to inherit.
        losses: (N, 3) accuracy with its sign turned, macs, params.
    """

    def __init__(self, decisions: int) -> None:
        self.codes = np.zeros((0, decisions), dtype=np.int16)
        self.losses = np.zeros((0, 3))

    def add(self, codes: NDArray, losses: NDArray) -> None:
        """Takes in designs and drops what is dominated; of equal ones it keeps one."""
        codes, losses = np.concatenate([self.codes, codes]), np.concatenate([self.losses, losses])
        kept = moocore.is_nondominated(losses, keep_weakly=False)
        self.codes, self.losses = codes[kept], losses[kept]

    def volume(self, point: dict[str, float]) -> float:
        """Its hypervolume."""
        return hypervolume(-self.losses[:, 0], self.losses[:, 1], self.losses[:, 2], point)


def children(parents: NDArray, choices: NDArray, rng: np.random.Generator) -> NDArray:
    """(AT_ONCE, D) wishes: two parents mixed or one alone, then some decisions moved a step or drawn anew."""
    one, other = (parents[rng.integers(len(parents), size=AT_ONCE)] for _ in range(2))
    mixed = (rng.random(one.shape) < 0.5) & (rng.random((AT_ONCE, 1)) < 0.4)
    child = np.where(mixed, other, one)
    step = np.clip(child + rng.choice([-1, 1], size=child.shape), 0, choices - 1)
    moved = np.where(rng.random(child.shape) < 0.5, step, rng.integers(0, choices, size=child.shape))
    return np.where(rng.random(child.shape) < rng.choice([0.04, 0.08, 0.15], size=(AT_ONCE, 1)), moved, child)


def run(whole: SearchSpace, surface: Surface, rounds: int, seed: int, point: dict[str, float]) -> tuple[Front, float]:
    """The front after `rounds` rounds, and its hypervolume after half of them."""
    rng = np.random.default_rng([seed, 1811])
    writer = Writer(whole.arrays, whole.decisions, whole._budgets)
    choices = np.array([len(d.choices) for d in whole.decisions])
    front, halfway = Front(len(choices)), 0.0
    for number in range(rounds):
        if number == 0:
            wishes, designs = None, whole.sample_feasible(AT_ONCE, rng)
        else:
            wishes = children(front.codes, choices, rng)
            designs, inside = writer.write(wishes, rng)
            wishes, designs = wishes[inside], designs[inside]
        fallback = 0 if wishes is None else wishes
        codes = np.where(designs.codes >= 0, designs.codes, fallback)
        front.add(codes, np.column_stack([-surface.accuracy(designs), designs.macs, designs.params]))
        if number + 1 == rounds // 2:
            halfway = front.volume(point)
    return front, halfway


def best_known(whole: SearchSpace, number: int, rounds: int) -> list[list[object]]:
    """The rows of one surface."""
    surface = Surface(whole, number)
    point = reference(surface)
    rows, both, halves = [], Front(len(whole.decisions)), []
    for seed in range(2):
        front, halfway = run(whole, surface, rounds, seed, point)
        rows.append([number, seed, rounds * AT_ONCE, len(front.codes), front.volume(point), halfway])
        both.add(front.codes, front.losses)
        halves.append(halfway)
    return [*rows, [number, "both", 2 * rounds * AT_ONCE, len(both.codes), both.volume(point), max(halves)]]


def main() -> None:
    """Adds the surfaces that are asked for, in place of what the file has of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("surfaces", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=250, help=f"of {AT_ONCE:,} evaluations, per run")
    given = parser.parse_args()
    whole = space()
    for number in given.surfaces:
        start = time.perf_counter()
        rows = best_known(whole, number, given.rounds)
        found = [[f"{v:.6f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
        kept: list[list[str]] = []
        if PATH.exists():
            with PATH.open(newline="") as file:
                kept = [row for row in list(csv.reader(file))[1:] if row[0] != str(number)]
        with PATH.open("w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(COLUMNS)
            out.writerows(sorted(kept + found))
        for row in found:
            print(*row, f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
