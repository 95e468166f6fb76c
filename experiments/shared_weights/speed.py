"""How long a score takes: turbovit.yaml at the proxy's default fidelity, on one thread.

    PYTHONPATH=. python experiments/shared_weights/speed.py

Trains a bank for three steps (a score takes as long, however long the bank was trained), then scores 50 designs drawn
uniformly from those within the bounds. Prints the quartiles; CPU seconds are those of this process.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gas.banking import BankTraining
from gas.proxies import create
from gas.space import load_space


def main() -> None:
    """Trains, scores, prints."""
    torch.set_num_threads(1)
    space = load_space("turbovit.yaml")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with BankTraining(space, Path(folder, "bank"), fidelity={"steps": 3}) as training:
            print(f"bank put together in {time.perf_counter() - began:.1f} s: {training.trainer.bank.params:,} params")
            began = time.perf_counter()
            training.run()
            print(f"{(time.perf_counter() - began) / 3:.2f} s per step")
        proxy = create("shared_weights", {"bank": str(Path(folder, "bank"))})
        proxy.prepare()
    designs = list(space.sample_feasible(51, seed=1))
    proxy.score(designs.pop())  # torch picks its kernels at the first call
    taken = []
    for design in designs:
        began = time.perf_counter(), time.process_time()
        proxy.score(design)
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    for name, seconds in zip(("wall", "CPU"), zip(*taken, strict=True), strict=True):
        low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        print(f"{name}: median {middle:.2f} s, quartiles {low:.2f} to {high:.2f} s, longest {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
