"""What the tests of trainings share: a design that trains in no time, a few digits, and a small folder of images."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gas.architecture import Architecture
from gas.data import load
from gas.model import build
from gas.space import design_from_text
from gas.trainer import job as jobs
from gas.trainer import workers as on_ray
from gas.trainer.images import MemoryImages
from gas.trainer.recipe import TrainingRecipe
from gas.trainer.steps import Trainer, Workers

DESIGN = """
name: small
input: {resolution: 16, channels: 3}
stem: {pattern: conv_embed, kernel: 4, stride: 4, dim: 16}
stages:
  - dim: 16
    blocks:
      - {pattern: transformer, depth: 1, mixer: {pattern: global_attention, head_dim: 8}}
  - entry: q_pool
    dim: 32
    blocks:
      - {pattern: transformer, depth: 1, mixer: {pattern: global_attention, head_dim: 8}}
head: {pattern: classifier, classes: 10}
"""

# All that is drawn without kornia.
LIVELY = TrainingRecipe(
    epochs=3, batch=32, group=16, warm_epochs=0.5, drop_path=0.3, shift=True, flip=0.5, mixup=0.4, cutmix=1.0, ema=0.9
)


def design(channels: int = 3) -> Architecture:
    return design_from_text(DESIGN.replace("channels: 3", f"channels: {channels}"))


def digits(*, images: int = 96, validation: int = 40, hold_out: float = 0.0) -> MemoryImages:
    return MemoryImages(load("digits", resolution=16, images=images, validation=validation), hold_out=hold_out)


def trainer(recipe: TrainingRecipe, *, rank: int = 0, world: int = 1, **rest) -> Trainer:
    images = rest.pop("images", None) or digits()
    network = build(design(), classes=len(images.classes), seed=recipe.seed)
    return Trainer(network, design(), images, recipe, workers=Workers(rank, world), **rest)


def run(made: Trainer, *, until: int | None = None) -> Trainer:
    """Goes on to the end, or to so many steps."""
    made.run(stop=lambda: until is not None and made.step >= until, each=lambda _: None)
    return made


def folder(path: Path, *, classes: tuple[str, ...] = ("cats", "dogs"), each: int = 6, split: bool = True) -> Path:
    """A folder of PNG images of 20 x 24 pixels, which differ in brightness from class to class."""
    rng = np.random.default_rng(0)
    for part in ("train", "val") if split else ("",):
        for at, name in enumerate(classes):
            (path / part / name).mkdir(parents=True)
            for number in range(each):
                pixels = rng.integers(0, 100, (20, 24, 3)) + 150 * at / max(len(classes) - 1, 1)
                Image.fromarray(pixels.astype(np.uint8)).save(path / part / name / f"{number}.png")
    return path


LOST_AT = 5
LOOP = on_ray._loop


def mortal_loop(config: dict[str, Any]) -> None:
    """What a Ray worker runs, where the second one is killed after a few steps, once; it keeps every step."""
    flag, run_job, jobs.SAVE_S = Path(config["folder"]).parent / "killed", on_ray.run_job, 0.0

    def run_until_killed(job: Any, *, workers: Workers, stop: Any, tell: Any) -> bool:
        def told(state: Any) -> None:
            if workers.rank == 1 and state.step == LOST_AT and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            tell(state)

        return run_job(job, workers=workers, stop=stop, tell=told)

    on_ray.run_job = run_until_killed
    LOOP(config)
