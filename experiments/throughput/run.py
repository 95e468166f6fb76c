"""How many designs a second: costed exactly, drawn within the budgets, and how the other ways of doing it compare.

One thread of one core. Every way of costing is given designs drawn uniformly; every way of drawing has to come back
with designs within the budgets on macs and params. The ways take turns, round by round, so that a change of the
machine's load meets all of them. Writes throughput.csv beside this file.

    OMP_NUM_THREADS=1 PYTHONPATH=. python experiments/throughput/run.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from gas.costs import cost, fvcore_count
from gas.plan import place, plan
from gas.space import SearchSpace, load_space
from gas.space.counting import Count, count_within
from gas.space.designs import Designs
from gas.space.sampling import Sampler
from gas.space.windows import Window

SPACES = ("turbovit", "hybrid")
MANY = 1_000_000


def costing(space: SearchSpace) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """(way, designs per call, call): exact macs and params of designs that are drawn beforehand."""
    everything = Sampler(space.arrays, Window.open())
    rows = everything.draw(MANY, np.random.default_rng(0)).T
    codes = Designs(space.arrays, rows).codes
    few = [Designs(space.arrays, rows)[i] for i in range(60)]

    def sums(found: Designs) -> tuple[np.ndarray, np.ndarray]:
        return found.macs, found.params

    def fresh() -> list[int]:
        plan.cache_clear()
        place.cache_clear()
        return [cost(design).macs for design in few]

    def again() -> list[int]:
        plan.cache_clear()
        return [cost(design).macs for design in few]

    yield "arrays: sums of known rows", MANY, lambda: sums(Designs(space.arrays, rows))
    yield "arrays: rows looked through and costed", MANY, lambda: sums(space.designs(rows))
    yield "arrays: decisions to rows, and costed", MANY, lambda: sums(space.designs(codes=codes))
    yield "cost(design), blocks met before", len(few), again
    yield "cost(design), every block new", len(few), fresh
    yield "building and counting with fvcore", 2, lambda: [fvcore_count(design) for design in few[:2]]


def drawing(space: SearchSpace) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """(way, designs per call, call): designs within the budgets."""
    rng, walker = np.random.default_rng(1), np.random.default_rng(2)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def walked(decision: Any, allowed: tuple) -> Any:
        return allowed[walker.integers(len(allowed))]

    def rejected(choose: Callable[[], Callable]) -> int:
        """One design within the budgets; how many were thrown away."""
        tries = 0
        while True:
            design = space.realise(choose(), feasible=False).architecture
            found = cost(design)
            if all(c.low <= getattr(found, c.metric) <= c.high for c in space.budgets):
                return tries
            tries += 1

    def asked() -> Callable:
        trial = study.ask()
        # A decision's choices depend on those before it, and Optuna wants the same ones each time: a number stands for
        # its place among what is allowed.
        return lambda decision, allowed: allowed[
            int(trial.suggest_float(decision.path, 0, 1) * len(allowed)) % len(allowed)
        ]

    yield "sample_feasible: uniform", MANY // 4, lambda: space.sample_feasible(MANY // 4, rng)
    yield "walker, only what can be completed", 20, lambda: space.sample(20, walker, feasible=True)
    yield "walker, with rejection", 5, lambda: [rejected(lambda: walked) for _ in range(5)]
    yield "Optuna's random sampler, with rejection", 5, lambda: [rejected(asked) for _ in range(5)]


def once(space: SearchSpace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is done once per space, in seconds."""
    yield "load the space", lambda: load_space(space.name)
    yield "load the space and write its array form", lambda: load_space(space.name).arrays
    yield "prepare sample_feasible", lambda: Sampler(space.arrays, space._window)
    for c in space.budgets:
        window = Window.of((c,), space.cost_range)
        yield f"count within {c}", lambda window=window: _counted(space, window)
    yield "count within all budgets", lambda: space.count(feasible=True)
    yield "count within all budgets, quickly", lambda: space.count(feasible=True, quick=True)


def _counted(space: SearchSpace, window: Window) -> Any:
    return count_within(space._chain, window)


def measured(space: SearchSpace, rounds: int) -> Iterator[dict[str, Any]]:
    """Rows of the table: rates first, then what is done once."""
    tasks = [("cost", *task) for task in costing(space)] + [("draw", *task) for task in drawing(space)]
    rates: list[list[float]] = [[] for _ in tasks]
    for turn in range(rounds + 1):
        for (_, _, size, call), found in zip(tasks, rates, strict=True):
            start = time.perf_counter()
            call()
            if turn:  # the first round fills caches
                found.append(size / (time.perf_counter() - start))
    for (what, way, _, _), found in zip(tasks, rates, strict=True):
        low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
        best = np.median(rates[next(i for i, task in enumerate(tasks) if task[0] == what)])
        yield {
            "space": space.name,
            "what": what,
            "way": way,
            "unit": "designs/s",
            "median": f"{middle:.4g}",
            "quartile_1": f"{low:.4g}",
            "quartile_3": f"{high:.4g}",
            "arrays_are_faster_by": f"{best / middle:.3g}",
            "result": "",
        }
    for way, call in once(space):
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
        said = f"{result} of {result.total:,}" if isinstance(result, Count) else ""
        yield {"space": space.name, "what": "once", "way": way, "unit": "s", "median": f"{seconds:.3g}", "result": said}


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("load", os.getloadavg())
    rows = []
    for name in SPACES:
        for row in measured(load_space(name), rounds):
            rows.append(row)
            print(*(f"{value}" for value in row.values() if value), sep=" | ", flush=True)
    with Path(__file__).with_name("throughput.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    print("load", os.getloadavg())


if __name__ == "__main__":
    main()
