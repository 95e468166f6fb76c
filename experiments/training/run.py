"""What precision, memory format and augmentations do to short trainings: their speed and their scores.

    PYTHONPATH=. python experiments/training/run.py speed      # speed.csv: CPU time; adds what it lacks
    PYTHONPATH=. python experiments/training/run.py score      # scores.csv; adds what it lacks
    PYTHONPATH=. python experiments/training/run.py report     # the tables of the README
    PYTHONPATH=. python experiments/training/run.py gradient   # the convolution whose bfloat16 gradient is garbage

One thread, on the default fidelity of `short_training`. Speed is CPU time of the training thread: the settings take
turns in every round, so that what else the machine does falls on all of them alike; the ratio is the median over the
rounds.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from gas.architecture import Architecture
from gas.model import build
from gas.proxies import Proxy, create
from gas.proxies.reduce import reduce
from gas.space import load_space
from gas.training import Recipe, Training, strengthen, suited_rate

HERE = Path(__file__).parent
SPACES = ("turbovit", "hybrid", "zoo/fastvit_t8", "zoo/shvit_s1")  # the first design that each draws with seed 0
SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"precision": "bfloat16"},
    "channels_last": {"channels_last": True},
    "both": {"precision": "bfloat16", "channels_last": True},
    "shift": {"augment": ("shift",)},
    "erase": {"augment": ("erase",)},
    "mixup": {"augment": ("mixup",)},
    "cutmix": {"augment": ("cutmix",)},
}
FORMATS = ("float32", "bfloat16", "channels_last", "both")
SIZES = ((0.25, 32), (1.0, 64))  # width, resolution: the default fidelity, and one in which matrices are larger
ROUNDS, STEPS = 3, {32: 8, 64: 2}
SEEDS = {**dict.fromkeys(FORMATS, 2), "shift": 2, "erase": 2, "mixup": 2, "cutmix": 2}


def design(space: str) -> Architecture:
    """The first feasible design that the space draws with seed 0 (a zoo file has one alone)."""
    return load_space(space).sample(1, seed=0, feasible=not space.startswith("zoo/"))[0]


def speed() -> None:
    """Takes turns at a few steps of every setting; the first round is thrown away."""
    rows: list[dict[str, Any]] = [*_read(HERE / "speed.csv")]
    done = {(row["space"], row["width"], row["resolution"]) for row in rows}
    for width, resolution in SIZES:
        proxy = create("short_training", {"fidelity": {"width": width, "resolution": resolution, "images": 512}})
        for space in SPACES:
            if (space, str(width), str(resolution)) in done:
                continue
            small = reduce(design(space), width=width, resolution=resolution)
            taken: dict[str, list[float]] = {name: [] for name in FORMATS}
            for index in range(ROUNDS + 1):
                for name in FORMATS[index % len(FORMATS) :] + FORMATS[: index % len(FORMATS)]:
                    taken[name].append(_seconds(proxy, small, STEPS[resolution], SETTINGS[name]))
            for name in FORMATS:
                ratios = [t / base for t, base in zip(taken[name][1:], taken["float32"][1:], strict=True)]
                row = {"space": space, "width": width, "resolution": resolution, "setting": name}
                row |= {"ms_per_step": f"{1e3 * statistics.median(taken[name][1:]) / STEPS[resolution]:.2f}"}
                row |= {"ratio": f"{statistics.median(ratios):.3f}", "low": f"{min(ratios):.3f}"}
                rows.append({**row, "high": f"{max(ratios):.3f}"})
                print(rows[-1], flush=True)
            _write("speed.csv", rows)


def _seconds(proxy: Proxy, small: Architecture, steps: int, setting: dict[str, Any]) -> float:
    """CPU seconds of `steps` training steps, the first of which (making the moments) is not among them."""
    network = build(small, classes=proxy.images.classes, seed=0)
    strengthen(network, proxy.fidelity.width**-0.5)
    recipe = Recipe(1, proxy.fidelity.batch, suited_rate(small, 7e-4), horizon=256, **setting)
    training = Training(network, proxy.images, recipe)
    training.run()
    training.recipe = Recipe(steps + 1, recipe.batch, recipe.rate, horizon=256, **setting)
    start = time.thread_time()
    training.run()
    return time.thread_time() - start


def score() -> None:
    """Scores every design with every setting on digits, seed by seed; what is in the table already is kept."""
    path = HERE / "scores.csv"
    done = {(r["space"], r["setting"], int(r["seed"])): r for r in _read(path)}
    for seed in range(max(SEEDS.values())):
        for space in SPACES:
            for name, setting in SETTINGS.items():
                if (space, name, seed) in done or seed >= SEEDS[name]:
                    continue
                start = time.thread_time()
                metrics = create("short_training", {"fidelity": setting}).score(design(space), seed=seed)
                row = {"space": space, "setting": name, "seed": seed}
                row |= {
                    key.removeprefix("short_training").strip("_") or "accuracy": f"{v:.5f}"
                    for key, v in metrics.items()
                }
                row["cpu_s"] = f"{time.thread_time() - start:.2f}"
                done[space, name, seed] = row
                print(row, flush=True)
                _write("scores.csv", list(done.values()))


def report() -> None:
    """Prints both tables in Markdown."""
    print("| design | width, pixels | ms/step | bfloat16 | channels-last | both |\n|---|---|---|---|---|---|")
    rows = {(r["space"], r["width"], r["resolution"], r["setting"]): r for r in _read(HERE / "speed.csv")}
    for space, width, resolution in dict.fromkeys(key[:3] for key in rows):
        mine = {name: rows[space, width, resolution, name] for name in FORMATS}
        cells = [f"{r['ratio']} ({r['low']} to {r['high']})" for name, r in mine.items() if name != "float32"]
        print(f"| {space} | {width}, {resolution} | {mine['float32']['ms_per_step']} | {' | '.join(cells)} |")
    scores = {(r["space"], r["setting"], r["seed"]): r for r in _read(HERE / "scores.csv")}
    print("\n| setting | accuracy | loss less that of float32 | train loss less that of float32 |\n|---|---|---|---|")
    for name in SETTINGS:
        keys = [key for key in scores if key[1] == name and (key[0], "float32", key[2]) in scores]
        shifts = []
        for column in ("loss", "train_loss"):
            values = [float(scores[k][column]) - float(scores[k[0], "float32", k[2]][column]) for k in keys]
            shifts.append(f"{statistics.mean(values):+.3f} ({min(values):+.3f} to {max(values):+.3f})")
        mean = statistics.mean(float(scores[key]["accuracy"]) for key in keys)
        print(f"| {name} | {mean:.3f} | {' | '.join(shifts)} |")


def gradient() -> None:
    """How often, of 30 equal calls, the weights' gradient of a convolution differs from the first."""
    for half in (False, True):
        for side in (1, 2, 4):
            generator, found = torch.Generator().manual_seed(0), []
            images, kernel = (torch.randn(s, generator=generator) for s in ((32, 80, side, side), (80, 80, 3, 3)))
            for index in range(30):
                _ = torch.full((1000 + 137 * index,), 1e6)  # other contents for the memory that is given out next
                weight = kernel.clone().requires_grad_()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    out = torch.conv2d(images, weight, stride=2, padding=1)
                out.float().square().sum().backward()
                found.append(weight.grad)
            differ = sum(not torch.equal(g, found[0]) for g in found)
            print(f"{'bfloat16' if half else 'float32'}, map of {side} x {side}: {differ} of 30 differ")


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(name: str, rows: list[dict[str, Any]]) -> None:
    with (HERE / name).open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("speed", "score", "report", "gradient"))
    torch.set_num_threads(1)
    {"speed": speed, "score": score, "report": report, "gradient": gradient}[parser.parse_args().part]()


if __name__ == "__main__":
    main()
