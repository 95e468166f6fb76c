"""Exports a design as files that need no gas: source, weights, design file, model card, and on request other forms;
checked before they count.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gas.architecture import Architecture
from gas.costs import folded_count
from gas.errors import ExportError, SettingError
from gas.exports.card import Made, card_text
from gas.exports.design_file import design_text
from gas.exports.formats import SAMPLE, SUFFIXES, chosen, save_int8, save_onnx, save_pt2
from gas.exports.int8 import Speed, images_for, speed_of
from gas.exports.sides import standing
from gas.exports.source import identifier, module_source
from gas.exports.timm_file import timm_source
from gas.exports.verify import IMAGES, Differences, Run, differences
from gas.exports.weights import load_weights
from gas.model import build, fuse
from gas.patterns import Cost


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
        others: The files of other formats, by format.
        checks: What the checks of all files found.
        exporter: By which of torch's exporters the ONNX model was made; empty where there is none.
        speed: How long the int8 model takes beside float32; None where there is none.
    """

    name: str
    source: Path
    weights: Path
    design: Path
    card: Path
    difference: float
    trained: bool
    folded_difference: float | None = None
    others: Mapping[str, Path] = field(default_factory=dict)
    checks: Differences | None = None
    exporter: str = ""
    speed: Speed | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files written."""
        return self.source, self.weights, self.design, self.card, *self.others.values()


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
    formats: Sequence[str] = (),
    seconds: float = 3.0,
    run: Run | None = None,
) -> ExportResult:
    """Writes NAME.py, NAME.safetensors, NAME.yaml, NAME.md and other formats into a folder; all of them or none.

    The file builds the network in the form to train, to which the weights belong. Where something in it folds for
    inference, it also has `load`, which gives the network with its weights in the folded form, the one to deploy.

    Args:
        architecture: The design.
        out: The folder; made where it does not exist.
        name: Name of the files, made a Python identifier; by default the design's own, or its id.
        model: A built model of this design whose weights are to be kept; by default a seeded initialisation.
        seed: Seed of that initialisation.
        facts: What is known of the design: see `gas.exports.facts`.
        overwrite: Whether files of these names may be replaced. Where the weights become others, the forms of before
            that are not made again are removed: they would be of another network.
        fold: False to leave out the form folded for inference.
        formats: Others beside the source: `timm`, `onnx`, `int8`, `pt2`, or `all`.
        seconds: How long int8 is timed beside float32.
        run: What looks at the files; by default a fresh process.

    Raises:
        DesignError: The design cannot be built.
        SettingError: The folder cannot be written, files stand there and `overwrite` is False, or a format is unknown
            or lacks a package.
        ExportError: The model is not one of this design, or a file does not compute what the design does.
    """
    wanted = chosen(formats)
    name = identifier(name or architecture.name or f"design_{architecture.id}")
    folder, files = Path(out), {part: [name + suffix for suffix in SUFFIXES[part]] for part in wanted}
    _refuse_existing(folder, list(itertools.chain(*files.values())), overwrite)
    reference = _reference(architecture, model, seed)
    kind, folded = _kind(model, seed), _folded_cost(architecture) if fold else None
    words: dict[str, Any] = {"facts": facts, "weights": kind, "folded": folded}
    source = module_source(architecture, name, **words)  # before there is a folder
    with _workplace(folder) as work:
        (work / f"{name}.py").write_text(source, encoding="utf-8")
        _save(reference, work / f"{name}.safetensors", architecture, name, kind)
        (work / f"{name}.yaml").write_text(design_text(architecture, name, facts=facts), encoding="utf-8")
        exporter = _write_formats(architecture, fuse(reference) if fold else reference.eval(), work, name, wanted)
        found = _check(architecture, reference, work, name, parts=wanted, folded=folded is not None, run=run)
        speed = speed_of(architecture, work, name, seconds=seconds) if "int8" in wanted else None
        made = Made(found, _sizes(work, files), exporter, speed, trained=model is not None)
        (work / f"{name}.md").write_text(card_text(architecture, name, made=made, **words), encoding="utf-8")
        _move(work, folder, name, list(itertools.chain(*files.values())))
    paths = [folder / file for file in files.pop("source")]
    others = {part: folder / file for part, (file,) in files.items()}
    return ExportResult(name, *paths, found.trained, model is not None, found.folded, others, found, exporter, speed)


def _folded_cost(architecture: Architecture) -> Cost | None:
    counted = folded_count(architecture)
    return counted and counted.cost


def _check(
    architecture: Architecture, reference: nn.Module, work: Path, name: str, *, parts: Sequence[str], **options: Any
) -> Differences:
    """What the files in a folder are off by; `parts` and the options as in `differences`."""
    return differences(
        reference,
        work,
        name,
        channels=architecture.channels,
        side=architecture.resolution,
        parts=parts,
        real=images_for(architecture) if "int8" in parts else None,
        other=_elsewhere(architecture, work / f"{name}.safetensors"),
        **options,
    )


def _refuse_existing(folder: Path, names: Sequence[str], overwrite: bool) -> None:
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        more = f" (and {', '.join(there[1:])})" if there[1:] else ""
        expected = "expected another folder or name, or overwrite"
        raise SettingError(f"{folder / there[0]}: already exists{more}; {expected}")


def _sizes(work: Path, files: Mapping[str, Sequence[str]]) -> dict[str, int]:
    return {part: (work / names[0]).stat().st_size for part, names in files.items()}


def _move(work: Path, folder: Path, name: str, files: Sequence[str]) -> None:
    """Puts files into their place; of the forms that stand there already, those that become untrue are removed."""
    known = (
        [] if _same_weights(work, folder, name) else [name + suffix for suffix in itertools.chain(*SUFFIXES.values())]
    )
    for file in files:
        os.replace(work / file, folder / file)
    for file in set(known) - set(files):
        (folder / file).unlink(missing_ok=True)


def _same_weights(work: Path, folder: Path, name: str) -> bool:
    """Whether the design and weights made are those that stand in the folder, so that other forms of them stay true."""
    from safetensors import SafetensorError, safe_open

    made, there = (place / f"{name}.safetensors" for place in (work, folder))
    try:  # not byte by byte: the head of such a file has no fixed order
        with safe_open(made, "pt") as new, safe_open(there, "pt") as old:
            if new.metadata().get("design") != (old.metadata() or {}).get("design") or new.keys() != old.keys():
                return False
            return all(torch.equal(new.get_tensor(key), old.get_tensor(key)) for key in new.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False


def _write_formats(architecture: Architecture, model: nn.Module, work: Path, name: str, wanted: Sequence[str]) -> str:
    """Writes all but the source into a folder; returns by which exporter ONNX was made."""
    shape = (IMAGES, architecture.channels, architecture.resolution, architecture.resolution)
    images, exporter = torch.randn(shape, generator=torch.Generator().manual_seed(1)), ""
    if "timm" in wanted:
        text = timm_source(architecture, name, sides=len(standing(architecture)))
        (work / f"{name}{SUFFIXES['timm'][0]}").write_text(text, encoding="utf-8")
    if "onnx" in wanted or "int8" in wanted:
        float32 = work / f"{name}{SUFFIXES['onnx'][0]}"  # int8 is made of it, and timed beside it
        exporter = save_onnx(model, images, float32)
        if "int8" in wanted:
            save_int8(float32, work / f"{name}{SUFFIXES['int8'][0]}")
    if "pt2" in wanted:
        save_pt2(model, images[:SAMPLE], work / f"{name}{SUFFIXES['pt2'][0]}")
    return exporter


def _elsewhere(architecture: Architecture, weights: Path) -> nn.Module | None:
    """The design for the side nearest to three quarters of its own, with the weights; None where it has but one."""
    sides = [side for side in standing(architecture) if side != architecture.resolution]
    if not sides:
        return None
    side = min(sides, key=lambda side: abs(side - 0.75 * architecture.resolution))
    model = build(replace(architecture, resolution=side), seed=0)
    load_weights(model, weights)
    return model


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
