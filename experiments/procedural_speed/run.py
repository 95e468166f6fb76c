"""Images per minute that one core draws, by source and side; CPU time, so that work beside it does not count.

python experiments/procedural_speed/run.py      # adds rows to speed.csv
"""

from __future__ import annotations

import csv
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from gas.data import load
from gas.data.contours import draw as draw_contours
from gas.data.contours import sample_atoms
from gas.data.procedural import draw as draw_fractals
from gas.data.procedural import sample_classes

FILE = Path(__file__).with_name("speed.csv")
COLUMNS = ("source", "resolution", "images", "classes_s", "draw_s", "per_minute", "load_s", "load_per_minute")
CASES = ((32, 1024), (64, 1024), (128, 256), (224, 128))
CLASSES = 32


def main() -> None:
    """Draws alone, and loads as a user does: classes, training and validation images, their cache and their scaling."""
    os.environ["GAS_CACHE"] = tempfile.mkdtemp(prefix="gas-speed-")
    new = not FILE.exists()
    with FILE.open("a", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        if new:
            out.writerow(COLUMNS)
        for resolution, count in CASES:
            for source in ("procedural", "contours"):
                rng, labels = np.random.default_rng(0), np.arange(count) % CLASSES
                started = time.process_time()
                if source == "procedural":
                    maps, probabilities = sample_classes(rng, CLASSES)
                else:
                    atoms = sample_atoms(rng, CLASSES)
                began = time.process_time()
                if source == "procedural":
                    draw_fractals(rng, (maps[labels], probabilities[labels]), resolution)
                else:
                    draw_contours(rng, atoms[labels], resolution)
                ended = time.process_time()
                load(source, resolution=resolution, images=count, validation=count // 4, classes=CLASSES)
                loaded = time.process_time() - ended
                rates = [60 * count / (ended - began), 60 * (count + count // 4) / loaded]
                times = [f"{value:.3f}" for value in (began - started, ended - began, loaded)]
                out.writerow([source, resolution, count, *times[:2], round(rates[0]), times[2], round(rates[1])])
                file.flush()


if __name__ == "__main__":
    main()
