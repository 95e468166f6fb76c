"""Runs made up of designs that were never evaluated: as many as wanted, with everything that a report can show."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from small_search import QUICK, quick_proxy, written

from gas.architecture import Architecture
from gas.archive import Archive
from gas.evaluation import Candidate, Evaluation, Status
from gas.plan import plan
from gas.run import Run
from gas.session import search

EVIL = "</script><script>document.title='broken'</script><b>&amp;"
SPACE = f"""
name: "made {EVIL}"
input: {{resolution: 32}}
stem: {{pattern: conv_embed, kernel: 3, stride: 2, dim: {{choose: [8, 16, 24]}}}}
stages:
  - dim: {{choose: [16, 32, 48]}}
    blocks:
      - pattern: transformer
        depth: {{range: [1, 4]}}
        mixer:
          choose:
            - {{pattern: mask_unit_attention, mask_unit: {{choose: [4, 8]}}, head_dim: 8}}
            - {{pattern: global_attention, head_dim: {{choose: [8, 16]}}}}
        mlp: {{pattern: mlp, ratio: {{choose: [2, 3, 4]}}}}
  - entry: q_pool
    dim: {{choose: [32, 48, 64, 96]}}
    blocks:
      - {{pattern: transformer, depth: {{range: [1, 6]}}, mixer: {{pattern: global_attention, head_dim: 16}}, mlp: mlp}}
head: {{pattern: classifier, classes: 10}}
objectives: [{{maximise: proxy}}, {{minimise: macs}}]
constraints: {{macs: {{max: 40M}}}}
"""
FAIL_EVERY = 9
REASON = f"ValueError: loss is nan {EVIL}"
TARGET = {"target": "cpu_eager", "batch": 1, "threads": 1}


def made_run(folder: Path, count: int, *, seed: int = 0, probes: int = 0, measured: int = 0, text: str = SPACE) -> Run:
    """A run of `count` evaluations, every ninth of them failed, whose score follows depth and width with some noise.

    Args:
        folder: Empty.
        count: Evaluations, 1 at least.
        seed: Of the designs and the noise.
        probes: How many of the evaluations have readings of probes.
        measured: How many of the front have a measured latency, 5% above what was predicted.
        text: The space.
    """
    run = empty_run(folder, text)
    space, rng, seen = run.space, np.random.default_rng(seed), set()
    with Archive.open(run.path) as archive, archive.together():
        number = 0
        while number < count:
            found = space.realise(lambda _, allowed: allowed[rng.integers(len(allowed))])
            if found.architecture.id in seen:
                continue
            seen.add(found.architecture.id)
            made = Candidate(number, found.architecture, f"mutation of {number // 2}", found.decisions)
            archive.ask(made)
            archive.tell(_evaluation(made, rng, probed=number < probes), "made:1", "{}")
            number += 1
    _record(run.path, settings={"budget": count})
    run = Run(run.path)
    if measured:
        _measure(run, measured)
    return Run(run.path)


def empty_run(folder: Path, text: str = SPACE) -> Run:
    """A run in which nothing has come back yet, and which no search is writing to."""
    with quick_proxy():
        run = search(
            written(folder, "made.yaml", text), out=folder / "run", budget=1, **QUICK | {"generator": "random"}
        )
    for file in run.path.glob("archive.sqlite*"):
        file.unlink()
    (run.path / "log.txt").write_text("2026-01-01 00:00:00  began: made\n")
    Archive.create(run.path).close()
    return Run(run.path)


def _evaluation(made: Candidate, rng: np.random.Generator, *, probed: bool) -> Evaluation:
    cost = plan(made.architecture).cost
    metrics = {"macs": cost.macs, "params": cost.params, "latency_ms_predicted": cost.macs / 4e6 + 0.4}
    if made.number % FAIL_EVERY == FAIL_EVERY - 1:
        return Evaluation(made, Status.FAILED, metrics, REASON, 0.1)
    dims, depths = made.architecture.dims, made.architecture.depths
    score = sum(math.log(d) * (1 - 0.6**n) for d, n in zip(dims, depths, strict=True)) + rng.normal(0, 0.1)
    probes = _probes(made.architecture) if probed else ()
    return Evaluation(made, Status.OK, metrics | {"quick": score, "quick_seed": 0.0}, "", 0.2, probes)


def _probes(design: Architecture) -> tuple[dict[str, float], ...]:
    blocks = plan(design).blocks
    total = sum(placed.cost.macs for placed in blocks)
    share = 1 / len(blocks)
    return tuple({"stage": b.stage, "saliency": share, "macs_share": b.cost.macs / total} for b in blocks)


def _measure(run: Run, count: int) -> None:
    with Archive.open(run.path) as archive:
        for row in run.front().head(count).to_dict("records"):
            ms = 1.05 * row["latency_ms_predicted"]
            archive.measure(row["id"], **TARGET, median_ms=ms, q1_ms=0.98 * ms, q3_ms=1.04 * ms, repeats=30)


def _record(path: Path, **changes: Mapping[str, Any]) -> None:
    """Changes what run.json says."""
    file = path / "run.json"
    record = json.loads(file.read_text())
    for key, values in changes.items():
        record[key] = record[key] | dict(values)
    file.write_text(json.dumps(record))
