"""Runs samplers on the analytic problem.

    PYTHONPATH=. python experiments/search_efficiency/analytic.py gas-evolution optuna-nsga2 --surfaces 4 5 --seeds 0 1
    PYTHONPATH=. python experiments/search_efficiency/analytic.py gas-tpe --noise 1 --batch 16

Appends to analytic.csv (or --out): sampler, surface, seed, noise, batch, evaluations, hypervolume, picked, duplicates,
infeasible, cpu_ms, wall_ms; all but the first five as of that many evaluations. Searches that are there already are
left out. How samplers are named: samplers.py.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from problem import OBJECTIVES, Surface, reference, space
from replay import Problem, Record, search
from samplers import make

from gas.space import SearchSpace
from gas.space.designs import Designs

HERE = Path(__file__).parent
KEYS = ("sampler", "surface", "seed", "noise", "batch")


class AnalyticProblem(Problem):
    """A surface, answered with noise.

    The noise of a design is a function of the search's seed and of the design, as in a training with a fixed seed:
    whoever asks twice is told the same twice, and all samplers are told the same.

    Args:
        space: The space.
        surface: Which surface.
        seed: Seed of the search.
        noise: Standard deviation of what is added to the accuracy that is told.
    """

    def __init__(self, space: SearchSpace, surface: int, *, seed: int, noise: float) -> None:
        self._surface = Surface(space, surface)
        self._key, self._noise = (surface, seed), noise
        super().__init__(space, OBJECTIVES, reference(self._surface))

    def answer(self, designs: Designs, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The made-up accuracy, with and without noise."""
        accuracy = self._surface.accuracy(designs)
        if not self._noise:
            return accuracy, accuracy
        seeds = [hashlib.blake2b(f"{self._key}{row.tolist()}".encode(), digest_size=8).digest() for row in designs.rows]
        drawn = [np.random.default_rng(int.from_bytes(seed, "big")).normal(0.0, self._noise) for seed in seeds]
        return accuracy, accuracy + np.array(drawn)


def main() -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samplers", nargs="+")
    parser.add_argument("--surfaces", type=int, nargs="+", default=[4, 5, 6])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument(
        "--noise", type=float, default=0.0, help="its standard deviation; that of the accuracy is about 4.5"
    )
    parser.add_argument("--batch", type=int, default=1, help="designs asked for before any is told")
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE / "analytic.csv")
    given = parser.parse_args()
    record, whole = Record(given.out, KEYS), space()
    for seed in given.seeds:
        for surface in given.surfaces:
            for label in given.samplers:
                key = (label, surface, seed, f"{given.noise:g}", given.batch)
                if record.done(*key):
                    continue
                start = time.perf_counter()
                problem = AnalyticProblem(whole, surface, seed=seed, noise=given.noise)
                sampler = make(label, whole, OBJECTIVES, 100 * surface + seed)
                rows = list(search(problem, sampler, given.evaluations, given.batch))
                record.add(key, rows)
                print(*key, *rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
