"""How well is the latency of designs predicted that the predictor has not seen? See README.md beside this file.

    PYTHONPATH=. python experiments/latency_predictor/run.py turbovit cpu_eager

Writes designs-SPACE-TARGET.csv (one row per held-out design), and summary.csv from all such files.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gas.architecture import Architecture
from gas.costs import LatencyTable, Profile, cost, make_profile, profile_path
from gas.costs.activations import activations
from gas.costs.measure import measure
from gas.costs.pieces import whole
from gas.costs.profiles import accuracy, work
from gas.costs.targets import create
from gas.model import fuse
from gas.space import SearchSpace, load_space

HERE = Path(__file__).parent
FREE, BOUNDED = 52, 52  # held-out designs: drawn from all designs, and from those within the bounds
SECONDS = 80.0  # of each of the two measurements of all of them together
YARDSTICKS = 10
SEED = 2026
BASELINES = ("macs", "params", "activations", "sum")


def held_out(space: SearchSpace, profile: Profile) -> list[tuple[str, Architecture]]:
    """Designs that the predictor was not fitted on, and where each was drawn from."""
    seen = {design.id for design, *_ in profile.designs}
    drawn = [("all", d) for d in space.sample(FREE, SEED)]
    feasible = space.sample_feasible(BOUNDED, np.random.default_rng(SEED))
    drawn += [("within bounds", feasible[i]) for i in range(len(feasible))]
    return [(origin, design) for origin, design in drawn if design.id not in seen]


def measured(designs: list[Architecture], table: LatencyTable) -> tuple[list[float], list[float], int]:
    """Latency of all designs in turns with one another and the table's yardstick, twice over; rounds of each."""
    runs = {}
    for number, design in enumerate(designs):
        piece = whole(design)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            runs[str(number)] = table.target.prepare(fuse(piece.part.build()), piece.shape)
        print(f"\rprepared {number + 1} of {len(designs)}", end="", file=sys.stderr)
    yardstick, usual = table.yardstick()
    sticks = [f"yardstick {number}" for number in range(YARDSTICKS)]  # as many, spread over every round
    results, rounds = [], 0
    for seed in (0, 1):
        everything = runs | dict.fromkeys(sticks, yardstick)
        timings = measure(everything, seconds=SECONDS, clock=table.clock, threads=table.target.threads, seed=seed)
        speed = usual / np.median([timings[stick].series for stick in sticks], axis=0)  # of each round
        results.append([np.median(speed * timings[str(number)].series) for number in range(len(designs))])
        rounds = timings["0"].repeats
        print(f"\nrounds: {rounds}; yardstick over its usual time: {np.round(1 / speed, 3)}", file=sys.stderr)
    return results[0], results[1], rounds


def baselines(profile: Profile, designs: list[Architecture], sums: list[float]) -> dict[str, np.ndarray]:
    """Latency as a straight line in one cost, laid through the profile's own designs by least squares of logarithms."""
    known = [design for design, *_ in profile.designs]
    taken = np.log([row[1] for row in profile.designs])
    columns = {
        "macs": ([cost(d).macs for d in known], [cost(d).macs for d in designs]),
        "params": ([cost(d).params for d in known], [cost(d).params for d in designs]),
        "activations": ([activations(d) for d in known], [activations(d) for d in designs]),
        "sum": ([row[3] for row in profile.designs], sums),
    }
    told = {}
    for name, (here, there) in columns.items():
        slope, height = np.polyfit(np.log(here), taken, 1)
        told[name] = np.exp(height + slope * np.log(there))
    return told


def main(space_name: str, target: str) -> None:
    """Makes the profile (or goes on with it) and measures the held-out designs."""
    torch.set_num_threads(1)
    space = load_space(f"{space_name}.yaml")
    table = LatencyTable.on(create(target))
    todo = work(space, table)
    began = time.perf_counter()
    say = lambda what, done, total: print(f"\r{what} {done} of {total}   ", end="", file=sys.stderr)  # noqa: E731
    profile = make_profile(space, table, todo, progress=say)
    minutes = (time.perf_counter() - began) / 60
    profile.save(profile_path(space, table))
    drawn = held_out(space, profile)
    designs = [design for _, design in drawn]
    first, second, rounds = measured(designs, table)
    told = [profile.predict(design) for design in designs]
    sums = [table.predict(design) for design in designs]
    rows = pd.DataFrame(
        {
            "space": space_name,
            "target": target,
            "drawn_from": [origin for origin, _ in drawn],
            "id": [design.id for design in designs],
            "macs": [cost(design).macs for design in designs],
            "params": [cost(design).params for design in designs],
            "activations": [activations(design) for design in designs],
            "measured_ms": np.mean([first, second], axis=0),
            "first_ms": first,
            "second_ms": second,
            "predicted_ms": [p.ms for p in told],
            "low_ms": [p.low for p in told],
            "high_ms": [p.high for p in told],
            "sum_ms": sums,
            **{f"{name}_line_ms": line for name, line in baselines(profile, designs, sums).items()},
            "pieces": len(profile.known),
            "fitted_on": len(profile.designs),
            "rounds": rounds,
            "profile_minutes": round(minutes, 1),
            "design": [design.to_json() for design in designs],
        }
    )
    rows.to_csv(HERE / f"designs-{space_name}-{target}.csv", index=False, float_format="%.5g")


def summarise() -> None:
    """Writes summary.csv from all files of designs."""
    summary = []
    for file in sorted(HERE.glob("designs-*.csv")):
        every = pd.read_csv(file)
        for origin in ("all", "within bounds", "both"):
            rows = every if origin == "both" else every[every["drawn_from"] == origin]
            first = rows.iloc[0]
            common = {"space": first["space"], "target": first["target"], "drawn_from": origin}
            ways = {"predicted": "predicted_ms"} | {name: f"{name}_line_ms" for name in BASELINES}
            for name, column in ways.items():
                summary.append({**common, "latency_as": name, **accuracy(rows["measured_ms"], rows[column])})
            again = accuracy(rows["first_ms"], rows["second_ms"])
            summary.append({**common, "latency_as": "measured again", **again})
            once = pd.concat([rows["first_ms"], rows["second_ms"]]).to_numpy()
            low, high = (np.tile(rows[end], 2) for end in ("low_ms", "high_ms"))
            inside = (rows["low_ms"] <= rows["measured_ms"]) & (rows["measured_ms"] <= rows["high_ms"])
            summary[-len(ways) - 1]["mean_in_90%_interval"] = inside.mean()
            # The interval is one of what a measurement shows, so each of the two is held against it, and their mean.
            summary[-len(ways) - 1]["in_90%_interval"] = ((low <= once) & (once <= high)).mean()
            summary[-len(ways) - 1] |= {
                name: first[name] for name in ("pieces", "fitted_on", "rounds", "profile_minutes")
            }
    result = pd.DataFrame(summary)
    result.to_csv(HERE / "summary.csv", index=False, float_format="%.4g")
    print(result[result["drawn_from"] == "both"].round(3).to_string())


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:3])
    summarise()
