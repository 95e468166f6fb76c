"""Exports every design of the zoo and random ones of every bundled space in every format; a row for each in checks.csv.

    PYTHONPATH=. python experiments/exports/run.py            # goes on where it was interrupted
    PYTHONPATH=. python experiments/exports/run.py --designs 10 --only hybrid

Random designs stand at the least side from 64 pixels on at which they can (positions, windows and mask units are
those of that side), those of the zoo at their own. Weights and norm statistics are disturbed, so that nothing is
hidden by what begins at 0 or 1; where that makes float32 itself too coarse (activations grow from block to block),
the design is looked at as initialised too, which its rows say (`weights`). The written files are loaded and compared
as `gas export` does, in this process, and for every tenth design in a fresh one.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from gas.architecture import Architecture
from gas.errors import GasError
from gas.exports import SUFFIXES, checker, export_design, identifier
from gas.exports.sides import standing
from gas.exports.verify import fresh
from gas.model import Network, build
from gas.space import bundled, load, load_space

HERE = Path(__file__).parent
COLUMNS = ("space", "design", "id", "side", "format", "passed", "difference", "agreement", "mb", "ratio", "seconds")
COLUMNS += ("process", "exporter", "note", "weights")
LEAST_SIDE = 64
FRESH_EVERY = 10
SECONDS = 0.3  # of timing int8


def main() -> None:
    """Goes through all designs that have no rows yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=50, help="random designs of each space")
    parser.add_argument("--only", default="", help="a space, or zoo")
    parser.add_argument("--out", default=str(HERE / "checks.csv"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    out = Path(args.out)
    done = {(row["space"], row["design"]) for row in read(out)}
    for number, (space, name, design) in enumerate(designs(args.designs)):
        if (space, name) in done or args.only not in ("", space):
            continue
        process = "fresh" if number % FRESH_EVERY == 0 else "same"
        rows = rows_of(design, name, process)
        write(out, [{"space": space, "design": name, **row} for row in rows])
        failed = [row["format"] for row in rows if not row["passed"]]
        print(f"{space} {name}: {rows[0]['seconds']} s" + (f", failed: {failed}" if failed else ""), flush=True)


def designs(count: int) -> Iterator[tuple[str, str, Architecture]]:
    """(space, name, design), a few of each in turn."""
    spaces = [name for name in bundled() if not name.startswith("zoo/")]
    drawn = {name: load_space(name).sample_feasible(count, seed=0) for name in spaces}
    zoo = [name for name in bundled() if name.startswith("zoo/")]
    for i in range(max(count, len(zoo))):
        for name in spaces if i < count else []:
            design = drawn[name][i]
            sides = [side for side in sorted(standing(design)) if side >= LEAST_SIDE]
            small = replace(design, resolution=min([*sides, design.resolution]), name="")
            yield name, f"{identifier(name)}_{i}", small
        if i < len(zoo):
            yield "zoo", zoo[i].removeprefix("zoo/"), load(zoo[i])


def rows_of(design: Architecture, name: str, process: str) -> list[dict]:
    """A row for each format; where they do not all pass, as initialised, and where that fails too, each alone."""
    try:
        return exported(design, name, process, ("all",))
    except GasError as error:
        why = str(error)[:300]
    try:
        rows = exported(design, name, process, ("all",), disturb=False)
        return [{**row, "note": "; ".join(filter(None, [row["note"], f"disturbed: {why}"]))} for row in rows]
    except GasError:
        rows = []
        for part in SUFFIXES:
            try:
                rows += [row for row in exported(design, name, process, (part,)) if row["format"] == part]
            except GasError as error:
                row = {"id": design.id, "side": design.resolution, "format": part, "passed": 0, "seconds": ""}
                rows.append({**row, "process": process, "note": str(error)[:300], "weights": "disturbed"})
        return rows


def exported(
    design: Architecture, name: str, process: str, formats: tuple[str, ...], *, disturb: bool = True
) -> list[dict]:
    """The rows of one export."""
    began = time.monotonic()
    model = build(design, seed=0)
    if disturb:
        disturbed(model)
    run = fresh if process == "fresh" else checker.check
    with tempfile.TemporaryDirectory(prefix="gas-exports-") as folder:
        options = {"name": f"{name}_{design.id}", "model": model, "seconds": SECONDS, "run": run}
        result = export_design(design, folder, formats=formats, **options)
        paths = {"source": result.source, **result.others}
        sizes = {part: path.stat().st_size / 1e6 for part, path in paths.items()}
    for key in (result.name, f"{result.name}_timm"):
        sys.modules.pop(key, None)
    found = {"source": max(result.difference, result.folded_difference or 0.0), **result.checks.formats}
    rows = []
    for part in paths:
        row = {"id": design.id, "side": design.resolution, "format": part, "passed": int(part in found)}
        row |= {"difference": f"{found[part]:.3g}" if part in found else "", "mb": f"{sizes[part]:.3f}"}
        row |= {"seconds": f"{time.monotonic() - began:.1f}", "process": process}
        row |= {"note": result.checks.skipped.get(part, ""), "weights": "disturbed" if disturb else "initial"}
        if part == "int8":
            row |= {"agreement": f"{result.checks.agreement:.3f}", "ratio": f"{result.speed.ratio:.3f}"}
        if part in ("onnx", "int8"):
            row |= {"exporter": result.exporter}
        rows.append(row)
    return rows


def disturbed(model: Network) -> Network:
    """Weights and statistics as if the model had been trained a little."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator).clamp(-2, 2)
                tensor.mul_(1.0 + 0.2 * noise) if key.endswith("running_var") else tensor.add_(0.02 * noise)
    return model.eval()


def read(path: Path) -> list[dict]:
    """The rows that are there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict]) -> None:
    """Adds the rows of one design, all at once."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
