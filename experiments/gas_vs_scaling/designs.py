"""The designs that are compared: scaled by rule, found by search, drawn at random."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gas
from gas.architecture import Architecture, Group, Spec, Stage
from gas.plan import plan
from gas.space import SearchSpace, load_space

HERE = Path(__file__).parent
REFERENCE = "hiera_b_scaled"
# Widths are a quarter of those at 224 pixels: Hiera's 96, 192, 384, 768 would be 24, 48, 96, 192.
SCALED = {
    REFERENCE: ((16, 32, 64, 128), (1, 2, 8, 2)),  # Hiera-B (2, 3, 16, 3): width x 0.67, depth x 0.5
    "hiera_t_width": ((16, 32, 68, 128), (1, 2, 7, 2)),  # Hiera-T (1, 2, 7, 2): width x 0.69, to multiples of 4
    "hiera_t_both": ((16, 36, 68, 136), (1, 2, 6, 2)),  # Hiera-T: width x 0.72, depth x 0.85, likewise
}
WITHIN = 0.05  # how near to both budgets a random design has to come
RANDOM, RANDOM_SEED = 5, 2026
SEARCHES = {"blend": (0, 96), "short_training": (1, 128)}  # proxy: seed of search and images; steps of training
EVALUATIONS, BEST = 40, 2  # of each search; how many of its best designs are trained
FIDELITY = {"resolution": 32, "width": 1.0, "batch": 16, "images": 1024, "validation": 512}
COLUMNS = ("design", "group", "id", "macs", "params", "score", "architecture")
SEARCH_COLUMNS = ("proxy", "seed", "number", "status", "id", "macs", "params", "score", "seconds", "origin")


@dataclass(frozen=True)
class Entry:
    """A design with what it is called here.

    Args:
        name: Its own name.
        group: How it came about: `hiera_b`, `hiera_t`, `gas_PROXY` or `random`.
        design: The design.
        score: What the search that found it was told; None for the others.
    """

    name: str
    group: str
    design: Architecture
    score: float | None = None


def scaled(name: str) -> Architecture:
    """A Hiera of other widths and depths: units of 8 in two stages, then global attention; 1, 2, 4 and 8 heads."""
    stages = []
    for number, (dim, depth) in enumerate(zip(*SCALED[name], strict=True)):
        mixer = "mask_unit_attention" if number < 2 else "global_attention"
        block = Spec.of("transformer", mixer=Spec.of(mixer, heads=2**number))
        stages.append(Stage(dim, (Group(block, depth),), Spec.of("q_pool") if number else None))
    stem, head = Spec.of("conv_embed", dim=SCALED[name][0][0]), Spec.of("classifier", classes=10)
    return Architecture(stem, tuple(stages), head, 64, name=name)


def space_of() -> SearchSpace:
    """The space, whose bounds are the reference's costs: said twice, so it is looked at whether they agree."""
    space, cost = load_space(HERE / "space.yaml"), plan(scaled(REFERENCE)).cost
    assert {c.metric: c.high for c in space.budgets} == {"macs": cost.macs, "params": cost.params}
    return space


def ruled(space: SearchSpace) -> list[Entry]:
    """The designs scaled by rule, which are members."""
    entries = [Entry(name, name[: len("hiera_b")], scaled(name)) for name in SCALED]
    for entry in entries:
        space.decode(entry.design)
    return entries


def found(space: SearchSpace, budget: int = EVALUATIONS) -> list[Entry]:
    """The best designs of each search by the proxy alone; searches.csv gets all evaluations."""
    entries, rows = [], []
    for proxy, (seed, steps) in SEARCHES.items():
        with tempfile.TemporaryDirectory() as folder:
            settings = {"proxy": proxy, "data": "digits", "fidelity": {**FIDELITY, "steps": steps}}
            out = Path(folder) / "run"
            run = gas.search(space, out=out, generator="inquisitor", budget=budget, seed=seed, **settings)
            frame = run.frame().rename(columns={proxy: "score"})
            best = frame[frame["status"] == "ok"].nlargest(BEST, "score")
            for place, row in enumerate(best.to_dict("records"), 1):
                design = run.architecture(row["id"])
                entries.append(Entry(f"gas_{proxy}_{place}", f"gas_{proxy}", design, row["score"]))
        rows += frame.assign(proxy=proxy, seed=seed).reindex(columns=SEARCH_COLUMNS).to_dict("records")
    write(HERE / "searches.csv", SEARCH_COLUMNS, rows)
    return entries


def drawn(space: SearchSpace) -> list[Entry]:
    """Designs drawn uniformly among all that cost as much as the reference to within 5%, and no more."""
    cost = plan(scaled(REFERENCE)).cost
    designs = space.sample_feasible(20_000, RANDOM_SEED)
    near = (designs.macs >= (1 - WITHIN) * cost.macs) & (designs.params >= (1 - WITHIN) * cost.params)
    picked = [designs[int(number)] for number in np.flatnonzero(near)[:RANDOM]]
    return [Entry(f"random_{number}", "random", design) for number, design in enumerate(picked, 1)]


def save(entries: list[Entry]) -> None:
    """Writes designs.csv."""
    rows = []
    for entry in entries:
        cost = plan(entry.design).cost
        row = (entry.name, entry.group, entry.design.id, cost.macs, cost.params, entry.score, entry.design.to_json())
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    write(HERE / "designs.csv", COLUMNS, rows)


def read() -> list[Entry]:
    """The designs of designs.csv."""
    with (HERE / "designs.csv").open(newline="") as file:
        return [
            Entry(r["design"], r["group"], Architecture.from_json(r["architecture"], r["design"]))
            for r in csv.DictReader(file)
        ]


def write(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    """A CSV file with these columns."""
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, columns, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
