"""What the machinery around evaluations costs: how busy workers are kept, and how much one driver can pass on.

    OMP_NUM_THREADS=1 PYTHONPATH=. python experiments/ray_scaling/run.py search|sleeps|short [--workers N ...]

Each run adds a line to ray_scaling.csv. The proxies write down when they begin and end a candidate, on the machine's
monotonic clock, which all processes share: so the time between two candidates of a worker is seen where it passes.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import stub_proxies

from gas.evaluation import Candidate
from gas.evaluators import Evaluator, Work, create, ray_actors
from gas.session import Session
from gas.space import load

CSV = Path(__file__).with_name("ray_scaling.csv")
COLUMNS = (
    "question", "workers", "ahead", "seconds_each", "candidates", "wall_s", "busy_share", "gap_median_ms",
    "gap_greatest_ms", "per_minute", "load",
)  # fmt: skip


@dataclass(frozen=True)
class Busy:
    """What the workers wrote down.

    Args:
        wall_s: From the first candidate's beginning to the end of the last.
        share: Of the time from each worker's first beginning to its last end that was work; the mean over workers.
        overall: Work as a share of the wall time of all workers: beginning and end of the run count against it.
        gaps: Seconds between a candidate's end and the next one's beginning on the same worker.
        candidates: How many there were.
    """

    wall_s: float
    share: float
    overall: float
    gaps: list[float]
    candidates: int

    @classmethod
    def read(cls, folder: Path) -> Busy:
        """From one file per worker process, a line per candidate."""
        workers = [
            sorted(tuple(map(float, line.split())) for line in file.read_text().splitlines())
            for file in folder.iterdir()
        ]
        spans = [(spent[0][0], spent[-1][1]) for spent in workers]
        work = [sum(end - begin for begin, end in spent) for spent in workers]
        gaps = [b[0] - a[1] for spent in workers for a, b in itertools.pairwise(spent)]
        wall = max(end for _, end in spans) - min(begin for begin, _ in spans)
        share = statistics.mean(w / (end - begin) for w, (begin, end) in zip(work, spans, strict=True))
        return cls(wall, share, sum(work) / (wall * len(workers)), gaps, sum(map(len, workers)))


def in_search(proxy: str, generator: str, workers: int, budget: int, space: str) -> None:
    """A search with its archive, on Ray workers that know the stubs; latency is left out, lest it be measured first."""

    def evaluator(work: Work) -> Evaluator:
        return create("ray", replace(work, modules=("stub_proxies",)), workers=workers)

    settings = {"proxy": proxy, "generator": generator, "budget": budget, "profile": "none", "limit_s": 60.0}
    if generator == "inquisitor":  # probes are work on the design, and would be taken here for time between candidates
        settings["generator_options"] = {"probes": False}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / space
        lines = (Path("search_spaces") / space).read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line for line in lines if "latency" not in line), encoding="utf-8")
        with Session(path, Path(folder) / "run", resume=False, settings=settings, evaluator=evaluator) as session:
            session.loop.run()


def alone(workers: int, each: int) -> None:
    """The evaluator without a search: the same design again and again."""
    work = Work((("sleeps", {}),), modules=("stub_proxies",))
    design = load("hiera_tiny")
    with create("ray", work, workers=workers) as evaluator:
        sent = 0
        while sent < workers * each or evaluator.pending:
            while sent < workers * each and evaluator.pending < evaluator.capacity:
                evaluator.submit(Candidate(sent, design))
                sent += 1
            evaluator.collect(0.25)


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("question", choices=("search", "sleeps", "short"))
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--ahead", type=int, default=1, help="candidates that lie waiting at a worker")
    parser.add_argument("--seconds", type=float, help="of work in a candidate")
    parser.add_argument("--each", type=int, help="candidates per worker")
    parser.add_argument("--generator", help="of the search")
    given = parser.parse_args()
    ray_actors.AHEAD = given.ahead
    usual = {"search": (5.0, 12), "sleeps": (1.0, 20), "short": (0.0, 1000)}[given.question]
    seconds = usual[0] if given.seconds is None else given.seconds
    each = given.each or usual[1]
    os.environ[stub_proxies.SECONDS] = str(seconds)
    for workers in given.workers:
        with tempfile.TemporaryDirectory() as folder:
            os.environ[stub_proxies.FOLDER] = folder
            if given.question == "sleeps":
                alone(workers, each)
            else:
                proxy, generator = ("burns", "inquisitor") if given.question == "search" else ("sleeps", "random")
                in_search(proxy, given.generator or generator, workers, workers * each, "turbovit.yaml")
            record(given.question, workers, given.ahead, seconds, Busy.read(Path(folder)))


def record(question: str, workers: int, ahead: int, seconds: float, found: Busy) -> None:
    """Adds a line to the table, and prints it."""
    gaps = sorted(found.gaps)
    values = (
        question, workers, ahead, seconds, found.candidates, round(found.wall_s, 2),
        round(found.share if question == "search" else found.overall, 4), round(1e3 * statistics.median(gaps), 2),
        round(1e3 * gaps[-1], 1), round(60 * found.candidates / found.wall_s), round(os.getloadavg()[0], 1),
    )  # fmt: skip
    fresh = not CSV.exists()
    with CSV.open("a", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        if fresh:
            writer.writerow(COLUMNS)
        writer.writerow(values)
    print(time.strftime("%H:%M:%S"), dict(zip(COLUMNS, values, strict=True)), flush=True)


if __name__ == "__main__":
    main()
