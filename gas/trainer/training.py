"""`train` and `evaluate_weights`: a design is trained, gone on with, or looked at."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gas.architecture import Architecture
from gas.errors import RunError, SettingError, describe
from gas.exports.design_file import design_text
from gas.exports.trained import facts_of
from gas.model import build, with_classes
from gas.space import design_from_text
from gas.trainer.augment import need_kornia
from gas.trainer.images import open_images
from gas.trainer.job import Job, State, Tell, fill, run_job, same_classes
from gas.trainer.recipe import TrainingRecipe, load_recipe, overridden, recipe_from_text, recipe_text
from gas.trainer.scores import Scores, evaluate
from gas.trainer.steps import check_shares
from gas.trainer.store import BEST, DESIGN, MODEL, RECIPE, Row, Store
from gas.trainer.teacher import load_teacher

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Args:
        folder: Where all of it stands.
        rows: A row for each epoch done, as in metrics.csv.
        finished: Whether the last step is done.
        step: Steps done.
        mean: Whether the weights written are the mean over the training.
        notes: What is worth knowing besides, a sentence each.
    """

    folder: Path
    rows: tuple[Row, ...]
    finished: bool
    step: int
    mean: bool
    notes: tuple[str, ...] = field(default=())

    @property
    def weights(self) -> Path:
        """The weights at the end."""
        return self.folder / MODEL

    @property
    def best_weights(self) -> Path:
        """The weights after the epoch with the best top-1."""
        return self.folder / BEST

    def top1(self, row: Row | None = None) -> float:
        """Top-1 of an epoch, the last one by default: of the mean weights where there are any."""
        row = row or (self.rows[-1] if self.rows else {})
        return row.get("ema_top1", row.get("top1", float("nan")))

    @property
    def best(self) -> Row | None:
        """The row of the epoch with the best top-1."""
        return max(self.rows, key=self.top1, default=None)


@dataclass(frozen=True)
class Place:
    """Where a training runs.

    Args:
        workers: Processes, on Ray where more than 1; the batch is the same for any number.
        ray_address: Of a running Ray cluster, whose nodes all see the training's folder and the data.
        device: `auto`, `cpu` or `cuda`.
        threads: Threads of each process; 0 for torch's own number.
        loaders: Processes that decode images of a folder; by default as many as there are cores, at most 8.

    Raises:
        SettingError: One of them is out of its range, or there is no GPU.
    """

    workers: int = 1
    ray_address: str | None = None
    device: str = "auto"
    threads: int = 1
    loaders: int | None = None

    def __post_init__(self) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        object.__setattr__(self, "loaders", min(cores, 8) if self.loaders is None else self.loaders)
        object.__setattr__(self, "device", _device(self.device))
        for name, least in (("workers", 1), ("threads", 0), ("loaders", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingError(f"{name}: {describe(value, f'a whole number from {least}')}")

    def job(self, folder: Path, stop_at: float | None) -> Job:
        """What each process needs to know."""
        return Job(str(folder.absolute()), self.device, self.threads, self.loaders or 0, stop_at)


def train(
    architecture: Architecture | None = None,
    *,
    out: str | os.PathLike,
    data: str | None = None,
    recipe: str | TrainingRecipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    teacher: str | None = None,
    init: str | os.PathLike | None = None,
    classes: int | None = None,
    hold_out: float = 0.0,
    seconds: float | None = None,
    tell: Tell | None = None,
    **where: Any,
) -> TrainingResult:
    """Trains a design, or goes on with a training; Ctrl-C ends it after the step under way, with a checkpoint.

    Args:
        architecture: The design; where a training is resumed it may be left out, as may all that was asked for then.
        out: Folder of the training.
        data: `digits`, `procedural`, `contours`, or the path of a folder of images.
        recipe: Name or YAML file of a recipe, or one; `quick` by default.
        overrides: Fields of the recipe that are to be otherwise.
        resume: Go on with the training that stands in `out`.
        overwrite: Replace a training that stands there.
        teacher: `DESIGN+WEIGHTS.safetensors`, or a model of timm with or without weights.
        init: Safetensors file to begin from; a head for other classes is left fresh.
        classes: Classes of the data at most; by default all, or as many as the source makes by itself.
        hold_out: Share of the training images to validate on, in place of the validation images.
        seconds: Time after which to break off with a checkpoint.
        tell: Told where the training stands after each step.
        **where: See `Place`.

    Raises:
        GasError: Something asked for cannot be had; the training diverged; a training stands in `out` already, or none.
        KeyboardInterrupt: It was broken off by Ctrl-C; says at which step.
    """
    store, place = Store(Path(out)), Place(**where)
    asked = {"data": _data(data), "teacher": teacher, "init": str(init) if init else None, "limit": classes}
    if resume:
        _same(store, architecture, asked, recipe, overrides)
        notes: list[str] = []
    else:
        if architecture is None or data is None:
            raise SettingError(f"{'design' if architecture is None else 'data'}: got none; expected one to train")
        made = _recipe(recipe or "quick", overrides)
        notes = _begin(store, architecture, made, {**asked, "hold_out": hold_out}, overwrite, place.workers)
    return _run(store, place, None if seconds is None else time.time() + seconds, tell, notes)


def _run(store: Store, place: Place, stop_at: float | None, tell: Tell | None, notes: list[str]) -> TrainingResult:
    """Goes on with the training of a folder that has been begun."""
    job = place.job(store.folder, stop_at)

    def listen(state: State) -> None:
        if state.note:
            notes.append(state.note)
        if tell is not None:
            tell(state)

    if place.workers > 1 or place.ray_address is not None:
        from gas.trainer.workers import run_on_ray

        try:
            run_on_ray(job, place.workers, place.ray_address, tell=listen)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; the last checkpoint is of step {_result(store, []).step}") from None
        return _result(store, notes)
    with _interruptible() as stop:
        run_job(job, stop=stop, tell=listen)
    result = _result(store, notes)
    if stop() and not result.finished:
        raise KeyboardInterrupt(f"stopped after step {result.step}")
    return result


def _recipe(recipe: str | TrainingRecipe, overrides: Mapping[str, Any] | None) -> TrainingRecipe:
    made = load_recipe(recipe) if isinstance(recipe, str) else recipe.checked()
    return overridden(made, overrides) if overrides else made


def evaluate_weights(
    architecture: Architecture,
    weights: str | os.PathLike,
    *,
    data: str,
    recipe: str | TrainingRecipe = "quick",
    classes: int | None = None,
    **where: Any,
) -> Scores:
    """How well weights do on the validation images of some data.

    Args:
        architecture: Whose weights; it may have another number of classes than the data.
        weights: A safetensors file.
        data: As for `train`.
        recipe: Which says how images of a folder are resized and cut.
        classes: As for `train`.
        **where: See `Place`; one worker looks at all images.

    Raises:
        GasError: The weights cannot be read, or are of another design or for other classes.
    """
    made, place, file = _recipe(recipe, None), Place(**where), Path(weights)
    _three_channels(architecture)
    size = architecture.resolution
    images = open_images(data, resolution=size, recipe=made, classes=classes, loaders=place.loaders or 0)
    known = facts_of(file).get("classes") if file.is_file() else None
    if known:
        same_classes(known, images, "data")
    network = build(architecture, classes=len(images.classes), seed=0)
    fill(network, file, images.classes, whole=True)
    before, device = torch.get_num_threads(), torch.device(place.device)
    torch.set_num_threads(place.threads or before)
    try:
        return evaluate(network.to(device), images, device=device)
    finally:
        torch.set_num_threads(before)


def _begin(
    store: Store,
    architecture: Architecture,
    recipe: TrainingRecipe,
    asked: dict[str, Any],
    overwrite: bool,
    workers: int,
) -> list[str]:
    """Looks at all that was asked for before anything is written, then makes the folder; what is worth knowing."""
    need_kornia(recipe)
    _three_channels(architecture)
    store.refuse(overwrite=overwrite)
    images = open_images(
        asked["data"],
        resolution=architecture.resolution,
        recipe=recipe,
        classes=asked["limit"],
        hold_out=asked["hold_out"],
    )
    design = with_classes(architecture, len(images.classes))
    network, notes = build(design, seed=recipe.seed), []
    if asked["init"] and fill(network, Path(asked["init"]), images.classes):
        notes.append("init: the head starts fresh: the weights are for other classes")
    if asked["teacher"]:
        load_teacher(asked["teacher"], images.classes, (images.mean, images.deviation))
    check_shares(min(recipe.batch, images.train_count), recipe, workers)
    settings = {**asked, "classes": list(images.classes), "mean": images.mean, "deviation": images.deviation}
    text = design_text(design, design.name or f"design_{design.id}", facts=None)
    store.begin(settings, recipe_text(recipe), text)
    return notes


def _same(
    store: Store,
    architecture: Architecture | None,
    asked: Mapping[str, Any],
    recipe: str | TrainingRecipe | None,
    overrides: Mapping[str, Any] | None,
) -> None:
    """RunError where a training is to be resumed otherwise than it was begun."""
    known = store.settings()
    for name, value in asked.items():
        if value is not None and value != known[name]:
            raise RunError(f"resume: {name}: {describe(value, f'{known[name]!r}, as it was begun')}")
    if architecture is not None:
        design = design_from_text(store.text(DESIGN), DESIGN)
        if with_classes(architecture, len(known["classes"])).id != design.id:
            raise RunError(f"resume: {store.folder}: got another design; expected {design.name or design.id}")
    if recipe is None and not overrides:
        return
    there = recipe_from_text(store.text(RECIPE), RECIPE)
    made = _recipe(recipe or there, overrides)
    for name, value in there.model_dump().items():
        if name != "about" and getattr(made, name) != value:
            raise RunError(f"resume: recipe: {name}: {describe(getattr(made, name), f'{value!r}, as it was begun')}")


def _result(store: Store, notes: list[str]) -> TrainingResult:
    recipe = recipe_from_text(store.text(RECIPE), RECIPE)
    kept = store.checkpoint({})
    state = json.loads(kept.words["state"]) if kept else {"rows": [], "step": 0}
    finished = (store.folder / MODEL).exists()
    rows = tuple(state["rows"])
    return TrainingResult(store.folder, rows, finished, state["step"], recipe.ema is not None, tuple(notes))


def _three_channels(architecture: Architecture) -> None:
    if architecture.channels != 3:
        raise SettingError(f"design: {describe(architecture.channels, '3 channels, as all images have')}")


def _data(data: str | None) -> str | None:
    """A folder's path as it is seen from anywhere; a name as it is."""
    return str(Path(data).absolute()) if data is not None and Path(data).is_dir() else data


def _device(device: str) -> str:
    if device not in DEVICES:
        raise SettingError(f"device: {describe(device, 'one of ' + ', '.join(DEVICES), known=DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingError("device: got 'cuda'; expected cpu or auto: torch sees no GPU here")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, or a SIGTERM, asks for the end of the step under way; the second one ends it at once."""
    asked: list[int] = []

    def handler(number: int, frame: Any) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, old in before.items():
            signal.signal(number, old)
