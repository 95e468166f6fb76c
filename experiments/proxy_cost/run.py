"""What every score costs for designs of about 12 M params: CPU seconds of one thread, at 224 pixels and as it comes.

    python experiments/proxy_cost/run.py            # -> costs.csv, some minutes
    python experiments/proxy_cost/run.py --summary  # medians over the designs

CPU seconds and not seconds of the clock, so that other work on the machine counts little. Each score is made alone, so
each pays for the passes that a search with several of them would share; `all` is every training-free score together.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import gas
from gas.architecture import Architecture
from gas.proxies import PROXIES, Proxy, TrainingFree, create, score_together

HERE = Path(__file__).parent
DESIGNS = ("turbovit", "efficientformerv2_s2")
COLUMNS = ("design", "params", "macs", "proxy", "resolution", "seeds", "repeat", "cpu_s")
REPEATS, ALL = 1, "all"


def main() -> None:
    """Measures, or sums up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--summary", action="store_true")
    if not parser.parse_args().summary:
        torch.set_num_threads(1)
        measure()
    table = pd.read_csv(HERE / "costs.csv")
    each = table.groupby(["proxy", "resolution", "seeds", "design"])["cpu_s"].median()
    summary = each.groupby(["proxy", "resolution", "seeds"]).agg(["median", "max"]).round(2)
    print(summary.to_string())


def measure() -> None:
    """Writes costs.csv."""
    free = [name for name in PROXIES if issubclass(PROXIES.get(name), TrainingFree)]
    others = [name for name in PROXIES if name not in free and not PROXIES.get(name).needs_bank]
    rows = []
    for word in DESIGNS:
        design, cost = gas.load(word), gas.cost(gas.load(word))
        jobs = [(name, made(name, fidelity)) for name in free for fidelity in ({"resolution": 224, "seeds": 1}, {})]
        jobs += [(name, made(name, {})) for name in others]
        jobs.append(("pca_count", made("pca_count", {"resolution": 224, "seeds": 1})))
        for repeat in range(REPEATS):
            for name, proxy in jobs:
                if repeat and proxy.needs_training:
                    continue  # once: they take seconds, all of them the same steps
                spent = seconds(lambda proxy=proxy, design=design: proxy.score(design))
                fidelity = proxy.fidelity
                rows.append([word, cost.params, cost.macs, name, fidelity.resolution, fidelity.seeds, repeat, spent])
            for fidelity in ({"resolution": 224, "seeds": 1}, {}):
                group = [made(name, fidelity) for name in free]
                spent = seconds(lambda group=group, design=design: together(group, design))
                side, seeds = group[0].fidelity.resolution, group[0].fidelity.seeds
                rows.append([word, cost.params, cost.macs, ALL, side, seeds, repeat, spent])
        print(word, flush=True)
    with (HERE / "costs.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        out.writerows([*row[:-1], f"{row[-1]:.3f}"] for row in rows)


def made(name: str, fidelity: dict[str, Any]) -> Proxy:
    """A proxy with its images, which are not what is timed."""
    proxy = create(name, {"fidelity": fidelity, "seed": 0})
    proxy.prepare()
    return proxy


def together(group: list[Proxy], design: Architecture) -> None:
    """Every score over the same passes."""
    found = score_together(group, design, seed=0)
    assert not [metrics for metrics in found.values() if isinstance(metrics, str)], found


def seconds(call: Any) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    main()
