"""A training on several workers through Ray Train: one process each, gradients averaged by torch's DDP."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gas.errors import GasError, RunError
from gas.evaluators._cluster import connect, own_handler
from gas.evaluators._work import reason_of
from gas.trainer.job import Job, State, Tell, run_job
from gas.trainer.recipe import recipe_from_text
from gas.trainer.steps import Workers
from gas.trainer.store import METRICS, RECIPE, Store

RETRIES = 2
"""How often all workers are started again from the last checkpoint, after one was lost."""

_RAY, _FAILED, _POLL_S = ".ray", "failed.json", 1.0


def run_on_ray(job: Job, workers: int, address: str | None, *, tell: Tell) -> None:
    """Goes on with the training of a folder on several workers.

    They share each batch, and all their draws are those that one worker would make, so the weights are those of one but
    for rounding (where no norm reads the batch: each reads its worker's part). Every node must see the folder and the
    data under the same paths. Where a worker is lost, all go on from the last checkpoint.

    Args:
        job: Which training.
        workers: How many.
        address: Of a running Ray cluster; None for one on this machine.
        tell: Told after each epoch.

    Raises:
        GasError: What a worker ran into, or that workers were lost too often.
        KeyboardInterrupt: It was broken off by Ctrl-C; the checkpoint of the last epoch stands.
    """
    place = Path(job.folder) / _RAY
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    gpus = 1.0 if job.device == "cuda" else 0.0
    ours = connect(workers, address, threads=max(job.threads, 1), gpus=gpus)
    import ray

    try:
        with _quiet(), _watching(Path(job.folder), tell):
            _fit(job, workers, place)
        failed = place / _FAILED
        if failed.exists():
            raise RunError(json.loads(failed.read_text(encoding="utf-8")))
    finally:
        if ours:
            ray.shutdown()
        shutil.rmtree(place, ignore_errors=True)


def _fit(job: Job, workers: int, place: Path) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    each = {"CPU": max(job.threads, 1)} | ({"GPU": 1} if job.device == "cuda" else {})
    trainer = TorchTrainer(
        _loop,
        train_loop_config=asdict(job),
        torch_config=TorchConfig(backend="nccl" if job.device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=job.device == "cuda", resources_per_worker=each),
        run_config=RunConfig(
            name="training", storage_path=str(place), failure_config=FailureConfig(max_failures=RETRIES)
        ),
    )
    try:
        with own_handler(signal.SIGINT):  # Ray Train leaves its own behind
            result = trainer.fit()
    except SystemExit:  # how Ray Train's own handler of Ctrl-C leaves, when the workers have ended
        raise KeyboardInterrupt from None
    except Exception as error:  # Ray's own kinds differ from version to version
        raise RunError(f"train: workers were lost: {reason_of(error)}; go on with --resume") from error
    if result.error is not None:
        raise RunError(f"train: workers were lost: {reason_of(result.error)}; go on with --resume") from result.error


def _loop(config: dict[str, Any]) -> None:
    """What each worker runs. An error of ours is kept in a file, for it would not become another by trying again."""
    import ray.train
    from ray.train.torch import prepare_model

    with contextlib.suppress(ValueError):  # Ctrl-C in a terminal is for the driver to hear
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    job, context = Job(**config), ray.train.get_context()
    failed = Path(job.folder) / _RAY / _FAILED
    if failed.exists():
        return
    workers = Workers(
        context.get_world_rank(), context.get_world_size(), lambda n: prepare_model(n, parallel_strategy="ddp")
    )
    try:
        run_job(job, workers=workers, stop=lambda: False, tell=lambda _: None)
    except GasError as error:
        failed.write_text(json.dumps(str(error)), encoding="utf-8")
        raise


@contextlib.contextmanager
def _watching(folder: Path, tell: Tell) -> Iterator[None]:
    """Tells of each row that the first worker adds to metrics.csv."""
    ended = threading.Event()
    epochs = recipe_from_text(Store(folder).text(RECIPE), RECIPE).epochs

    def watch() -> None:
        seen = len(_rows(folder))
        while not ended.wait(_POLL_S):
            rows = _rows(folder)
            for row in rows[seen:]:
                step, epoch = int(row["step"]), int(row["epoch"])
                steps = step // epoch * epochs
                best = max(row.get("ema_top1", row["top1"]) for row in rows)
                left = (steps - step) * row["seconds"] / max(step, 1)
                loss, rate, speed = row["train_loss"], row["rate"], row["images_per_s"]
                tell(State(step, steps, epoch, epochs, loss, rate, speed, left, best, row))
            seen = max(seen, len(rows))

    thread = threading.Thread(target=watch, name="gas-train-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _rows(folder: Path) -> list[dict[str, float]]:
    try:
        with (folder / METRICS).open(encoding="utf-8", newline="") as stream:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    except OSError:
        return []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray Train's words on its own doings left out, warnings of its own parts too: what becomes of it we tell."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.train", "ray.data")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
