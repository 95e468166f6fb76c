"""Do the headline comparisons of the seeds' papers hold here? Claim beside measurement, for every pair.

The two designs of a pair are folded, run interleaved in one process on the same images, and told as a ratio of medians
with its 95% interval. Engines: PyTorch eager and ONNX Runtime on one CPU thread, batch 1 and 16; eager also with
glibc's allocator told to keep its memory, which alone can double a ratio; CUDA eager where there is a GPU.

    PYTHONPATH=. python experiments/seed_claims/run.py            measures, writes the CSVs and the README's tables
    PYTHONPATH=. python experiments/seed_claims/run.py --tables   only writes the README's tables anew from the CSVs
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

# Beside this file: the script is run as it stands.
sys.path.insert(0, str(Path(__file__).parent))
from claims import CLAIMS, PAIRS

from gas.costs import cost, ratio
from gas.costs.measure import measure
from gas.costs.targets.base import cpu_model
from gas.model import build, fuse
from gas.space import load

HERE = Path(__file__).parent
SECONDS = 10.0  # per pair, engine and batch
KEEPING = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""glibc: memory once taken is not given back to the system, so a large activation costs no page faults."""
SETTINGS = [
    ("cpu_eager", 1, "default"),
    ("cpu_eager", 16, "default"),
    ("cpu_eager", 16, "keeping"),
    ("cpu_onnx", 1, "default"),
    ("cpu_onnx", 16, "default"),
]
GPU_SETTINGS = [("cuda_eager", 1, "default"), ("cuda_eager", 16, "default"), ("cuda_eager", 512, "default")]
FIELDS = ("fast", "slow", "engine", "batch", "threads", "allocator", "device", "ratio", "low", "high")
FIELDS += tuple(f"{which}_{value}" for which in ("fast", "slow") for value in ("ms", "q1_ms", "q3_ms", "resolution"))
FIELDS += ("rounds",)


def eager(name: str, batch: int, device: str) -> Callable[[], object]:
    """Runs the folded design on one fixed batch."""
    design = load(f"zoo/{name}")
    model = fuse(build(design, seed=0)).to(device)
    images = torch.randn(batch, 3, design.resolution, design.resolution, device=device)

    def run() -> object:
        scores = model(images)
        if device != "cpu":
            torch.cuda.synchronize()
        return scores

    return run


def onnx(name: str, batch: int, folder: Path) -> Callable[[], object]:
    """The same in ONNX Runtime, on one thread; checked against eager first."""
    import onnxruntime

    design = load(f"zoo/{name}")
    model = fuse(build(design, seed=0))
    images = torch.randn(batch, 3, design.resolution, design.resolution)
    path = folder / f"{name}_{batch}.onnx"
    with torch.no_grad():
        torch.onnx.export(model, (images,), str(path), dynamo=True, external_data=False, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.numpy()}
    with torch.inference_mode():
        wanted = model(images)
    gap = (torch.from_numpy(session.run(None, feed)[0]) - wanted).abs().max() / wanted.abs().max()
    assert gap < 1e-3, f"{name}: ONNX Runtime gives other scores, by {gap:.2g}"
    return lambda: session.run(None, feed)


def measure_pair(fast: str, slow: str, engine: str, batch: int, allocator: str, seconds: float) -> dict[str, object]:
    """One row of the results."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for name in (fast, slow):
            if engine == "cpu_onnx":
                runs[name] = onnx(name, batch, Path(folder))
            else:
                runs[name] = eager(name, batch, "cuda" if engine == "cuda_eager" else "cpu")
        timings = measure(runs, seconds=seconds, tolerance=0.005, least=7)
    found = ratio(timings[slow], timings[fast])
    row = {"fast": fast, "slow": slow, "engine": engine, "batch": batch, "threads": 1, "allocator": allocator}
    row |= {"ratio": found.value, "low": found.low, "high": found.high, "rounds": timings[fast].repeats}
    row["device"] = torch.cuda.get_device_name() if engine == "cuda_eager" else cpu_model()
    for which, name in (("fast", fast), ("slow", slow)):
        t = timings[name]
        row |= {f"{which}_ms": t.median_ms, f"{which}_q1_ms": t.q1_ms, f"{which}_q3_ms": t.q3_ms}
        row[f"{which}_resolution"] = load(f"zoo/{name}").resolution
    return row


def rows(seconds: float) -> Iterator[dict[str, object]]:
    """Every pair in every setting, each in a process of its own: the allocator is chosen at its start."""
    settings = SETTINGS + (GPU_SETTINGS if torch.cuda.is_available() else [])
    for fast, slow in PAIRS:
        for setting in settings:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **(KEEPING if setting[2] == "keeping" else {})}
            wanted = json.dumps([fast, slow, *setting, seconds])
            command = [sys.executable, __file__, "--one", wanted]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{wanted}:\n{done.stderr[-2000:]}")
            row = json.loads(done.stdout.splitlines()[-1])
            print(f"{fast} / {slow} {setting}: {row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})", flush=True)
            yield row


def counts() -> list[dict[str, object]]:
    """Params and macs of both designs of every pair, and their ratios."""
    found = []
    for fast, slow in PAIRS:
        a, b = cost(load(f"zoo/{fast}")), cost(load(f"zoo/{slow}"))
        row = {"fast": fast, "slow": slow, "fast_params": a.params, "slow_params": b.params}
        row |= {"fast_macs": a.macs, "slow_macs": b.macs}
        found.append({**row, "params_ratio": b.params / a.params, "macs_ratio": b.macs / a.macs})
    return found


def write(path: Path, entries: list[dict[str, object]], fields: tuple[str, ...]) -> None:
    """A CSV; floats with 5 digits."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        for entry in entries:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in entry.items()})


def tables() -> str:
    """The README's tables: every claim beside what was measured, and every measurement."""
    with (HERE / "measured.csv").open() as file:
        measured = list(csv.DictReader(file))
    with (HERE / "counts.csv").open() as file:
        counted = {(row["fast"], row["slow"]): row for row in csv.DictReader(file)}
    lines = ["| claim | published | published for | measured here |", "| --- | --- | --- | --- |"]
    for claim in CLAIMS:
        pair = (claim.fast, claim.slow)
        if claim.what in ("params", "macs"):
            here = f"{float(counted[pair][f'{claim.what}_ratio']):.2f}x (counted)"
        else:
            fitting = [r for r in measured if (r["fast"], r["slow"]) == pair and _fits(claim, r)]
            here = "; ".join(_said(r) for r in fitting) or "not measured: no such device here"
        about = f"{claim.fast} against {claim.slow}, {claim.what}"
        lines.append(f"| {about} | {claim.factor:.2f}x | {claim.where} ({claim.source}) | {here} |")
    columns = [
        "pair",
        *(f"{e.replace('_', ' ')}, batch {b}{', memory kept' * (a == 'keeping')}" for e, b, a in SETTINGS),
    ]
    lines += ["", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for pair in PAIRS:
        cells = []
        for engine, batch, allocator in SETTINGS:
            found = [r for r in measured if _key(r) == (*pair, engine, str(batch), allocator)]
            cells.append(f"{float(found[0]['ratio']):.2f}x ({float(found[0]['fast_ms']):.1f} ms)" if found else "")
        lines.append(f"| {pair[0]} against {pair[1]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _fits(claim: object, row: dict[str, str]) -> bool:
    if claim.engine is not None and row["engine"] != claim.engine:
        return False
    return claim.engine == "cuda_eager" or claim.batch is None or row["batch"] == str(claim.batch)


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return row["fast"], row["slow"], row["engine"], row["batch"], row["allocator"]


def _said(row: dict[str, str]) -> str:
    kept = ", memory kept" if row["allocator"] == "keeping" else ""
    return f"{float(row['ratio']):.2f}x ({row['engine'].replace('_', ' ')}, batch {row['batch']}{kept})"


def main() -> None:
    """Measures, or only writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", action="store_true", help="write the README's tables anew and measure nothing")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for each pair in each setting")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_pair(*json.loads(options.one))))
        return
    if not options.tables:
        write(HERE / "measured.csv", list(rows(options.seconds)), FIELDS)
        entries = counts()
        write(HERE / "counts.csv", entries, tuple(entries[0]))
    readme = HERE / "README.md"
    head, mark, rest = readme.read_text().partition("<!-- tables -->\n")
    readme.write_text(
        f"{head}{mark}\n{tables()}\n\n{rest.partition('<!-- end -->')[1]}{rest.partition('<!-- end -->')[2]}"
    )


if __name__ == "__main__":
    main()
