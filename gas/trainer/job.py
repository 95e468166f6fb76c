"""One training from its folder: begun or gone on with, checkpointed, told of, and written out at the end."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gas.architecture import Architecture
from gas.errors import RunError, SettingError, describe
from gas.exports.trained import facts_of
from gas.exports.weights import load_weights
from gas.model import Network, build
from gas.space import design_from_text
from gas.trainer.augment import need_kornia
from gas.trainer.images import Images, open_images
from gas.trainer.recipe import TrainingRecipe, recipe_from_text
from gas.trainer.steps import Trainer, Workers
from gas.trainer.store import BEST, DESIGN, MODEL, RECIPE, Row, Store
from gas.trainer.teacher import load_teacher

SAVE_S = 60.0
"""Most time between two checkpoints within an epoch, seconds."""

_EPOCH_SAVE_S, _CURVE_STEPS = 5.0, 10


@dataclass(frozen=True)
class Job:
    """What a process needs to know of a training, plain data.

    Args:
        folder: The training's folder.
        device: `cpu` or `cuda`.
        threads: Threads of a process; 0 for torch's own number.
        loaders: Processes that decode images of a folder.
        stop_at: Value of `time.time()` after which to break off.
    """

    folder: str
    device: str = "cpu"
    threads: int = 1
    loaders: int = 0
    stop_at: float | None = None


@dataclass(frozen=True)
class State:
    """Where a training stands, for people.

    Args:
        step: Steps done.
        steps: Of how many.
        epoch: Epoch under way, from 1.
        epochs: Of how many.
        loss: Of the last step.
        rate: Learning rate.
        images_per_s: Of this attempt.
        seconds_left: Estimate from this attempt; None before its first step.
        best: Best top-1 of an epoch; None before the first.
        row: The epoch that has just ended; None within one.
        note: What is worth knowing besides.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    rate: float
    images_per_s: float = 0.0
    seconds_left: float | None = None
    best: float | None = None
    row: Row | None = None
    note: str = ""


Tell = Callable[[State], None]


def run_job(job: Job, *, workers: Workers | None = None, stop: Callable[[], bool], tell: Tell) -> bool:
    """Goes on with the training of a folder until its end, or until it is to stop; True at the end.

    Args:
        job: Which.
        workers: Which of how many workers this is; the first alone writes.
        stop: Asked before each step.
        tell: Told after each step.

    Raises:
        GasError: Something of the data, the teacher or the checkpoint is wrong, or the training has diverged.
    """
    before = torch.get_num_threads()
    if job.threads:
        torch.set_num_threads(job.threads)
    store = Store(Path(job.folder))
    try:
        trainer, images, facts = _prepared(job, store, workers or Workers())
        keeper = _Keeper(trainer, store, facts, tell, writes=trainer.workers.rank == 0)
        late = (lambda: stop() or time.time() > job.stop_at) if job.stop_at is not None else stop
        done = trainer.run(stop=late, each=keeper.each)
        keeper.end(done, notes=images.notes())
        return done
    finally:
        store.close()
        torch.set_num_threads(before)


def _prepared(job: Job, store: Store, workers: Workers) -> tuple[Trainer, Images, dict[str, Any]]:
    settings = store.settings()
    recipe = recipe_from_text(store.text(RECIPE), RECIPE)
    architecture = design_from_text(store.text(DESIGN), DESIGN)
    need_kornia(recipe)
    images = images_of(settings, architecture, recipe, loaders=job.loaders)
    network = build(architecture, seed=recipe.seed)
    expected = {"design": architecture.id, "recipe": _digest(recipe), "classes": _digest(images.classes)}
    kept = store.checkpoint(expected)
    if kept is None and settings["init"]:
        fill(network, Path(settings["init"]), images.classes)
    scale = (images.mean, images.deviation)
    teacher = load_teacher(settings["teacher"], images.classes, scale) if settings["teacher"] else None
    trainer = Trainer(network, architecture, images, recipe, device=job.device, workers=workers, teacher=teacher)
    if kept is not None:
        trainer.restore(kept)
    facts = {
        "name": architecture.name,
        "design": architecture.id,
        "classes": images.classes,
        "mean": images.mean,
        "deviation": images.deviation,
        "data": images.name,
    }
    return trainer, images, {"facts": facts, "expected": expected}


def images_of(
    settings: Mapping[str, Any], architecture: Architecture, recipe: TrainingRecipe, *, loaders: int = 0
) -> Images:
    """The images of a training; RunError where their classes are no longer those that it was begun with."""
    images = open_images(
        settings["data"],
        resolution=architecture.resolution,
        recipe=recipe,
        classes=settings["limit"],
        loaders=loaders,
        hold_out=settings["hold_out"],
    )
    same_classes(settings["classes"], images, "resume")
    return images


def same_classes(known: list[str] | tuple[str, ...], images: Images, where: str) -> None:
    """RunError where the classes of weights or of a checkpoint are not those of the images."""
    if tuple(known) == images.classes:
        return
    if len(known) != len(images.classes):
        text = f"{images.name} has {len(images.classes)} classes; expected {len(known)}, as the weights have them"
        raise RunError(f"{where}: {text}")
    mine, theirs = next((a, b) for a, b in zip(images.classes, known, strict=True) if a != b)
    text = describe(mine, f"{theirs!r}, as the weights have it", known=known)
    raise RunError(f"{where}: {images.name}: class {text}")


def fill(network: Network, weights: Path, classes: tuple[str, ...], *, whole: bool = False) -> bool:
    """Loads weights into a network; True where the head was left fresh, because the weights are for other classes.

    Args:
        network: Changed in place.
        weights: A safetensors file.
        classes: Names of the classes of the data.
        whole: Whether the head must fit too.

    Raises:
        SettingError: The file cannot be read or is not of this design.
    """
    if not weights.is_file():
        raise SettingError(f"init: {weights} does not exist; expected a .safetensors file")
    known = facts_of(weights).get("classes")
    fresh = {name: tensor.clone() for name, tensor in network.head.state_dict().items()}
    try:
        left_out = load_weights(network, weights, strict=whole)
    except (OSError, ValueError) as error:
        raise SettingError(f"init: {error}") from error
    others = [name for name in left_out if not name.startswith("head.")]
    if others:
        listed = ", ".join(others[:3])
        raise SettingError(f"init: {weights} is not of this design: {listed} do not fit ({len(others)} in all)")
    if left_out or (known is not None and not whole and tuple(known) != classes):
        network.head.load_state_dict(fresh)
        return True
    return False


class _Keeper:
    """What is done after each step: checkpoints, curves, words."""

    def __init__(self, trainer: Trainer, store: Store, facts: Mapping[str, Any], tell: Tell, *, writes: bool) -> None:
        self._trainer, self._store, self._tell, self._writes = trainer, store, tell, writes
        self._facts, self._words = facts["facts"], {**facts["expected"]}
        self._first, self._began = trainer.step, time.monotonic()
        self._saved = self._began
        if writes:
            store.rows(trainer.rows)

    def each(self, ended: bool) -> None:
        """After a step; `ended` where an epoch was evaluated."""
        trainer, now = self._trainer, time.monotonic()
        if self._writes:
            if trainer.step % _CURVE_STEPS == 0 and not ended:
                self._curve({"train/step_loss": trainer.loss, "train/rate": trainer.rate})
            if ended:
                self._epoch()
            if now - self._saved > (_EPOCH_SAVE_S if ended else SAVE_S):
                self._save()
        self._tell(self._state(trainer.rows[-1] if ended else None))

    def end(self, done: bool, *, notes: tuple[str, ...]) -> None:
        """After the last step, or where the training was broken off."""
        trainer = self._trainer
        if not self._writes:
            return
        self._save()
        if done:
            row = trainer.rows[-1]
            self._store.weights(MODEL, trainer.weights(), {**self._facts, "weights": self._said(row)})
        for note in notes:
            self._tell(self._state(None, note))

    def _epoch(self) -> None:
        row = self._trainer.rows[-1]
        self._store.rows(self._trainer.rows)
        shown = {k: v for k, v in row.items() if k not in ("epoch", "step", "seconds")}
        self._curve({f"epoch/{name}": value for name, value in shown.items()})
        if self._trainer.best is row:
            self._store.weights(BEST, self._trainer.weights(), {**self._facts, "weights": self._said(row)})

    def _said(self, row: Row) -> str:
        top1 = row["ema_top1" if self._trainer.mean else "top1"]
        mean = "mean of the weights " if self._trainer.mean else ""
        recipe = self._trainer.recipe
        return f"{mean}after epoch {row['epoch']} of {recipe.epochs} on {self._facts['data']}: top-1 {top1:.4f}"

    def _curve(self, values: Mapping[str, float]) -> None:
        self._store.curve(self._trainer.step, values, first=self._first)

    def _save(self) -> None:
        self._store.save(self._trainer.snapshot(self._words))
        self._saved = time.monotonic()

    def _state(self, row: Row | None, note: str = "") -> State:
        trainer = self._trainer
        done, taken = trainer.step - self._first, max(time.monotonic() - self._began, 1e-9)
        best = trainer.best
        return State(
            trainer.step,
            trainer.total,
            trainer.epoch,
            trainer.recipe.epochs,
            trainer.loss,
            trainer.rate,
            images_per_s=done * trainer.batch / taken,
            seconds_left=taken / done * (trainer.total - trainer.step) if done else None,
            best=best["ema_top1" if trainer.mean else "top1"] if best else None,
            row=row,
            note=note,
        )


def _digest(what: TrainingRecipe | tuple[str, ...]) -> str:
    plain = what.model_dump() if isinstance(what, TrainingRecipe) else what
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
