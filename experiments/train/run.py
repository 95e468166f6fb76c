"""What `gas train` reaches on digits within three minutes, and what threads and workers do to its speed.

    PYTHONPATH=. python experiments/train/run.py digits   # digits.csv: recipe quick, 3 seeds; adds what it lacks
    PYTHONPATH=. python experiments/train/run.py tune     # tuning.csv: on a quarter of the training images held out
    PYTHONPATH=. python experiments/train/run.py speed    # speed.csv: threads and workers; adds what it lacks

Rows of digits.csv and speed.csv are trainings in processes of their own, by the commands that they hold. `seconds`
is its wall time from start to end, loading and evaluation included; `cpu_s` its CPU time; `load` how many processes
wanted the two cores, on average over a minute, when it began: with others beside it, wall time says little and CPU time
more.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DESIGN = "experiments/train/turbovit_32px.yaml"
SEEDS = (0, 1, 2)
TUNED: tuple[dict[str, Any], ...] = (
    {"epochs": 80, "rate": 1e-3},
    {"epochs": 60, "rate": 2e-3},
    {"epochs": 60, "rate": 4e-3},
    {"epochs": 60, "rate": 2e-3, "batch": 32},
    {"epochs": 60, "rate": 4e-3, "mixup": 0.2, "cutmix": 1.0, "mix": 0.5},
)
SPEEDS = (("--threads", "1"), ("--threads", "2"), ("--workers", "2"))


def measured(command: list[str]) -> dict[str, Any]:
    """Runs a command that prints JSON; what it printed, with its wall and CPU time."""
    load, start, before = os.getloadavg()[0], time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "2" if "2" in command[-1:] and "--threads" in command else "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    facts = {"seconds": round(time.monotonic() - start, 1), "cpu_s": round(cpu, 1), "load": round(load, 1)}
    return json.loads(done.stdout) | facts


def add(name: str, row: dict[str, Any]) -> None:
    """Adds a row to a CSV."""
    file = HERE / name
    new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def known(name: str, column: str) -> set[str]:
    """The values of a column that a CSV holds already."""
    if not (HERE / name).exists():
        return set()
    with (HERE / name).open(encoding="utf-8", newline="") as stream:
        return {row[column] for row in csv.DictReader(stream)}


def train(*words: str) -> tuple[str, dict[str, Any]]:
    """The command as one would type it, and what came of it."""
    typed = ["gas", "train", DESIGN, "--data", "digits", *words]
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", f"{folder}/run", "--json", "--quiet"]
        found = measured([sys.executable, "-m", "gas.cli", *typed[1:4], *typed[4:], *out])
    return shlex.join(typed), found


def digits() -> None:
    """The default recipe with three seeds, on the validation images."""
    for seed in SEEDS:
        if str(seed) in known("digits.csv", "seed"):
            continue
        command, found = train("--seed", str(seed))
        names = ("top1", "best_top1", "best_epoch", "epochs", "seconds", "cpu_s", "load")
        add("digits.csv", {"seed": seed, **{name: found[name] for name in names}, "command": command})


def tune() -> None:
    """Recipes compared on a quarter of the training images; the validation images are not looked at."""
    from gas.space import load
    from gas.trainer import train as run

    for fields in TUNED:
        text = json.dumps(fields)
        if text in known("tuning.csv", "fields"):
            continue
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            result = run(load(DESIGN), data="digits", out=f"{folder}/run", overrides=fields, hold_out=0.25)
        row = {"fields": text, "held_out_top1": result.top1(), "cpu_s": round(time.process_time() - begun, 1)}
        add("tuning.csv", row)


def speed() -> None:
    """Ten epochs with one thread, with two, and with two workers of one."""
    for words in SPEEDS:
        if " ".join(words) in known("speed.csv", "how"):
            continue
        command, found = train("--set", "epochs=10", *words)
        last = found["rows"][-1]
        each = sorted(row["images_per_s"] for row in found["rows"])
        row = {
            "how": " ".join(words),
            "images_per_s": round(each[len(each) // 2]),
            "trained_s": round(last["seconds"], 1),
        }
        add("speed.csv", {**row, "seconds": found["seconds"], "load": found["load"], "command": command})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("digits", "tune", "speed"))
    {"digits": digits, "tune": tune, "speed": speed}[parser.parse_args().part]()
