"""Exports a design as files that need no gas: source, weights, design file, model card; checked before they count."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gas.architecture import Architecture
from gas.costs import folded_count
from gas.errors import ExportError, SettingError
from gas.exports.card import card_text
from gas.exports.design_file import design_text
from gas.exports.source import identifier, module_source
from gas.exports.verify import differences
from gas.model import build


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Args:
        name: Name of the module and of the function in it.
        source: The Python file.
        weights: The safetensors file.
        design: The design file.
        card: The model card.
        difference: Greatest absolute difference between the file, in a fresh process, and the design as gas builds it.
        folded_difference: The same of the folded form, relative to the greatest value; None where the file has none.
        trained: Whether weights were given; False for a seeded initialisation.
    """

    name: str
    source: Path
    weights: Path
    design: Path
    card: Path
    difference: float
    trained: bool
    folded_difference: float | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files written."""
        return self.source, self.weights, self.design, self.card


def export_design(
    architecture: Architecture,
    out: str | os.PathLike,
    *,
    name: str | None = None,
    model: nn.Module | None = None,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    fold: bool = True,
) -> ExportResult:
    """Writes NAME.py, NAME.safetensors, NAME.yaml and NAME.md into a folder; all of them or none.

    The file builds the network in the form to train, to which the weights belong. Where something in it folds for
    inference, it also has `load`, which gives the network with its weights in the folded form, the one to deploy.

    Args:
        architecture: The design.
        out: The folder; made where it does not exist.
        name: Name of the files, made a Python identifier; by default the design's own, or its id.
        model: A built model of this design whose weights are to be kept; by default a seeded initialisation.
        seed: Seed of that initialisation.
        facts: What is known of the design: see `gas.exports.facts`.
        overwrite: Whether files of these names may be replaced.
        fold: False to leave out the form folded for inference.

    Raises:
        DesignError: The design cannot be built.
        SettingError: The folder cannot be written, or files stand there and `overwrite` is False.
        ExportError: The model is not one of this design, or the file does not compute what the design does.
    """
    name = identifier(name or architecture.name or f"design_{architecture.id}")
    names = [f"{name}{suffix}" for suffix in (".py", ".safetensors", ".yaml", ".md")]
    folder = Path(out)
    there = [n for n in names if (folder / n).exists()]
    if there and not overwrite:
        raise SettingError(f"{folder / there[0]}: already exists; expected another folder or name, or overwrite")
    reference = _reference(architecture, model, seed)
    kind = _kind(model, seed)
    counted = folded_count(architecture) if fold else None
    folded = counted and counted.cost
    source = module_source(architecture, name, facts=facts, weights=kind, folded=folded)
    with _workplace(folder) as work:
        files = [work / n for n in names]
        files[0].write_text(source, encoding="utf-8")
        _save(reference, files[1], architecture, name, kind)
        channels, side = architecture.channels, architecture.resolution
        found = differences(
            reference, files[0], files[1], name, channels=channels, side=side, folded=folded is not None
        )
        files[2].write_text(design_text(architecture, name, facts=facts), encoding="utf-8")
        card = card_text(architecture, name, facts=facts, weights=kind, found=found, folded=folded)
        files[3].write_text(card, encoding="utf-8")
        for file in files:
            os.replace(file, folder / file.name)
    paths = [folder / n for n in names]
    return ExportResult(name, *paths, found.trained, trained=model is not None, folded_difference=found.folded)


def _reference(architecture: Architecture, model: nn.Module | None, seed: int) -> nn.Module:
    """The design as gas builds it, with the weights to be written."""
    reference = build(architecture, seed=seed)
    if model is not None:
        try:
            reference.load_state_dict({k: v.detach().cpu() for k, v in model.state_dict().items()})
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise ExportError(f"model: its weights are not those of this design: {first}") from error
    return reference


def _kind(model: nn.Module | None, seed: int) -> str:
    if model is None:
        return f"untrained: a seeded initialisation (seed {seed}), so scores mean nothing before training"
    return "those of the model given to export"


def _save(model: nn.Module, path: Path, architecture: Architecture, name: str, kind: str) -> None:
    from safetensors.torch import save_file

    # A tensor that several modules share would be refused by the format; a copy of each is what the reader expects.
    tensors = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, path, metadata={"name": name, "design": architecture.id, "weights": kind, "format": "pt"})


@contextlib.contextmanager
def _workplace(folder: Path):
    """A hidden folder inside `folder`, so that finished files move into their place in one step."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=".export-", dir=folder)
    except OSError as error:
        raise SettingError(f"{folder}: cannot be written: {error.strerror}; expected a writable folder") from error
    with work as path:
        try:
            yield Path(path)
        except OSError as error:
            raise SettingError(f"{folder}: cannot be written: {error.strerror}") from error
