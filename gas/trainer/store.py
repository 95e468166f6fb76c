"""The folder of a training: what was asked for, the checkpoint, the best and the last weights, the curves.

training.json          what was asked for, and what the images are
recipe.yaml            the recipe as used, every field
design.yaml            the design, with the classes of the data
checkpoint.safetensors all that a training goes on from; replaced as a whole
metrics.csv            a row for each epoch
tensorboard/           the same as curves, and loss and rate from step to step
best.safetensors       weights after the best epoch
model.safetensors      weights at the end; both are the mean weights where the recipe has them
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from gas.disk import write_whole
from gas.errors import RunError, describe
from gas.training import Snapshot

FORMAT = "gas-train-1"
SETTINGS, CHECKPOINT, METRICS = "training.json", "checkpoint.safetensors", "metrics.csv"
RECIPE, DESIGN, BEST, MODEL = "recipe.yaml", "design.yaml", "best.safetensors", "model.safetensors"
CURVES = "tensorboard"


Row = dict[str, float]
"""A row of metrics.csv."""


class Store:
    """A training's folder.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._curves: Any = None

    @property
    def exists(self) -> bool:
        """Whether a training was begun here."""
        return (self.folder / SETTINGS).exists()

    def refuse(self, *, overwrite: bool) -> None:
        """RunError where something else stands in the folder, or another training and `overwrite` is False."""
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(f"out: {self.folder} is a file; expected a folder")
        if self.exists and not overwrite:
            what = f"{self.folder} already holds a training"
            raise RunError(f"out: {what}; expected another folder, --resume to go on with it, or --overwrite")
        if not self.exists and self.folder.exists() and any(self.folder.iterdir()):
            raise RunError(f"out: {self.folder} holds other files; expected a new or empty folder")

    def begin(self, settings: Mapping[str, Any], recipe: str, design: str) -> None:
        """Makes the folder, without what was there of another training, and writes what was asked for.

        Raises:
            RunError: It cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (CHECKPOINT, METRICS, BEST, MODEL):
                (self.folder / name).unlink(missing_ok=True)
            for file in (self.folder / CURVES).glob("events.*"):
                file.unlink()
        except OSError as error:
            raise RunError(f"out: {self.folder} cannot be written: {error.strerror}") from error
        write_whole(self.folder / RECIPE, recipe)
        write_whole(self.folder / DESIGN, design)
        write_whole(self.folder / SETTINGS, json.dumps({"format": FORMAT, **settings}, indent=1) + "\n")

    def settings(self) -> dict[str, Any]:
        """What was asked for; RunError where no training stands here, or a damaged one."""
        if not self.exists:
            raise RunError(f"resume: {self.folder} holds no training; expected the folder of one (with {SETTINGS})")
        try:
            found = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise RunError(f"resume: {self.folder}: format: {describe(found['format'], FORMAT)}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"resume: {self.folder / SETTINGS} cannot be read: {error}") from error
        return found

    def text(self, name: str) -> str:
        """A file of the folder; RunError where it cannot be read."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"resume: {self.folder / name} cannot be read: {error}") from error

    def checkpoint(self, expected: Mapping[str, str]) -> Snapshot | None:
        """The checkpoint; None where there is none yet. RunError where it is damaged or of another training."""
        file = self.folder / CHECKPOINT
        if not file.exists():
            return None
        try:
            return Snapshot.of(file.read_bytes(), expected)
        except (OSError, ValueError) as error:
            raise RunError(f"resume: {file}: {error}") from error

    def save(self, snapshot: Snapshot) -> None:
        """Replaces the checkpoint as a whole."""
        write_whole(self.folder / CHECKPOINT, snapshot.to_bytes())

    def weights(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
        """Writes weights as safetensors, with what is known of them among the metadata."""
        plain = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}
        words = {k: json.dumps(v) if not isinstance(v, str) else v for k, v in facts.items()}
        write_whole(self.folder / name, save(plain, metadata={**words, "format": "pt"}))
        return self.folder / name

    def rows(self, rows: Sequence[Row]) -> None:
        """Writes metrics.csv anew."""
        stream = io.StringIO()
        if rows:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
        write_whole(self.folder / METRICS, stream.getvalue())

    def curve(self, step: int, values: Mapping[str, float], *, first: int = 0) -> None:
        """Adds points to the curves of TensorBoard.

        Args:
            step: Steps done.
            values: By name.
            first: Step from which on the curves of a broken-off training are forgotten.
        """
        if self._curves is None:
            from tensorboardX import SummaryWriter

            kept = {"purge_step": first} if first else {}
            self._curves = SummaryWriter(str(self.folder / CURVES), **kept)
        for name, value in values.items():
            self._curves.add_scalar(name, value, step)

    def close(self) -> None:
        """Ends the curves' file."""
        if self._curves is not None:
            self._curves.close()
            self._curves = None
