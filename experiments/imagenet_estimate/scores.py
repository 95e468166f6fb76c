"""Training-free scores of the networks of truth.csv, one initialisation each: scores.csv.

    python experiments/imagenet_estimate/scores.py

Resumable: rows that are there are kept. One thread. Scores that read whole blocks are left out, because what a block
is in public code would have to be said for every family by hand.
"""

from __future__ import annotations

import csv
import time

import torch
from networks import HERE, subject, truth

from gas.passes import Passes
from gas.proxies import create

SCORES = ("naswot", "zico", "snip", "grad_norm")


def main() -> None:
    """Scores what the table lacks."""
    torch.set_num_threads(1)
    path = HERE / "scores.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {row["network"] for row in csv.DictReader(file)}
    with path.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if not done:
            out.writerow(("network", "side", "images", *SCORES, "seconds"))
        for row in truth():
            network = row["zoo"] or row["timm"]
            if network in done:
                continue
            done.add(network)
            begun = time.monotonic()
            seen = Passes(subject(row, seed=0))
            found = [create(name).read(seen)[name] for name in SCORES]
            images = seen.subject.images
            out.writerow((network, images.shape[-1], len(images), *found, f"{time.monotonic() - begun:.1f}"))
            file.flush()
            print(network, *(f"{value:.4g}" for value in found), flush=True)


if __name__ == "__main__":
    main()
