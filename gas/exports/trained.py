"""A design with weights that are there already: for which classes they are, and whether they are its own."""

from __future__ import annotations

import json
import os
from typing import Any

from safetensors import SafetensorError, safe_open

from gas.architecture import Architecture
from gas.errors import SettingError, first_line
from gas.exports.standalone import ExportResult, export_design
from gas.exports.weights import load_weights
from gas.model import build, with_classes

LISTS = ("classes", "mean", "deviation")
"""What of a weights file's words is JSON."""


def export_trained(
    architecture: Architecture, weights: str | os.PathLike, out: str | os.PathLike, **options: Any
) -> ExportResult:
    """Writes a design with weights of a safetensors file, such as `gas train` leaves, for the classes that it is for.

    Args:
        architecture: The design.
        weights: The file. Where it does not say its classes, they are those of the design.
        out: See `export_design`.
        **options: See `export_design`.

    Raises:
        SettingError: The file cannot be read, or is not of this design; and as `export_design` says.
        ExportError: See `export_design`.
    """
    classes = facts_of(weights).get("classes")
    architecture = with_classes(architecture, len(classes)) if classes else architecture
    model = build(architecture)
    try:
        load_weights(model, weights)
    except ValueError as error:
        raise SettingError(f"weights: {error}") from error
    return export_design(architecture, out, model=model, **options)


def facts_of(file: str | os.PathLike) -> dict[str, Any]:
    """What a safetensors file says of its weights: `classes`, `mean` and `deviation` as lists, where it has them.

    Raises:
        SettingError: It is no safetensors file.
    """
    try:
        with safe_open(file, "pt") as opened:
            words = dict(opened.metadata() or {})
        return {name: json.loads(text) if name in LISTS else text for name, text in words.items()}
    except (OSError, SafetensorError, ValueError) as error:
        text = f"weights: {file} is no safetensors file that can be read: {first_line(error)}"
        raise SettingError(text) from error
