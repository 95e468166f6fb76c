"""A bank on disk: one safetensors file, whole or not there, and its record beside it for people.

The record (space, fidelity, data, recipe, losses) stands in the file's own header, so the two cannot fall apart;
nothing is ever unpickled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gas.banks.bank import Bank
from gas.banks.training import Moments
from gas.disk import write_whole
from gas.errors import RunError, describe

FILE, BESIDE, FORMAT = "bank.safetensors", "bank.json", 1
_TABLES = ("mean", "square", "steps")
_MAKE = "the folder of a bank that gas train-bank made"


@dataclass(frozen=True)
class Record:
    """What a bank is of, and how far its training came.

    Args:
        space: Name of the space.
        text: Text of the space's file; empty where the bank was made of designs alone.
        fidelity: At which designs are made small and trained (fields of `gas.proxies.Fidelity`).
        data: Data source.
        seed: Of the data and the training.
        recipe: Fields of `Recipe`.
        step: Steps done.
        losses: (step, largest, smallest, drawn) means since the row before.
        format: Of this record.
    """

    space: str
    text: str
    fidelity: dict[str, Any]
    data: str
    seed: int
    recipe: dict[str, Any]
    step: int
    losses: list[list[float]] = field(default_factory=list)
    segments: bool = True
    format: int = FORMAT


def save(folder: Path, bank: Bank, moments: Moments, record: Record) -> None:
    """Writes a bank into a folder. RunError where that cannot be; what was there before stays then."""
    from safetensors.torch import save as to_bytes

    tensors = {f"weight {key}": tensor.detach().contiguous() for key, tensor in bank.tensors.items()}
    for name in _TABLES:
        tensors |= {f"{name} {key}": tensor.contiguous() for key, tensor in getattr(moments, name).items()}
    facts = {"record": json.dumps(asdict(record)), "decaying": json.dumps(sorted(bank.decaying))}
    write_whole(folder / FILE, to_bytes(tensors, metadata=facts))
    write_whole(folder / BESIDE, (json.dumps(asdict(record), indent=1) + "\n").encode())


def read(folder: str | Path) -> bytes:
    """The bytes of a bank's file, to be sent where its disk cannot be seen. RunError where there is none."""
    file = Path(folder) / FILE
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise RunError(f"bank: {describe(str(folder), _MAKE)}") from error
    except OSError as error:
        raise RunError(f"bank: {file}: cannot be read: {error.strerror}") from error


def load(folder: str | Path) -> tuple[Bank, Moments, Record]:
    """The bank in a folder, its optimiser's moments and its record. RunError where it is missing or damaged."""
    return from_bytes(read(folder), str(folder))


def from_bytes(content: bytes, where: str = "bank") -> tuple[Bank, Moments, Record]:
    """A bank from the bytes of its file.

    Args:
        content: As `read` gave them.
        where: What errors call it.

    Raises:
        RunError: The bytes are no bank, cut off, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_safetensors

    broken = f"bank: {where}: got a damaged file ({FILE}); expected {_MAKE}"
    try:
        tensors = from_safetensors(content)
        size = int.from_bytes(content[:8], "little")
        facts = json.loads(content[8 : 8 + size])["__metadata__"]
        found = json.loads(facts["record"])
        decaying = json.loads(facts["decaying"])
        version = found["format"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(broken) from error
    if version != FORMAT:
        raise RunError(f"bank: {where}: got format {version}; expected {FORMAT}")
    try:
        record = Record(**found)
    except TypeError as error:
        raise RunError(broken) from error
    tables: dict[str, dict[str, Tensor]] = {name: {} for name in ("weight", *_TABLES)}
    for name, tensor in tensors.items():
        table, _, key = name.partition(" ")
        tables.setdefault(table, {})[key] = tensor
    moments = Moments(*(tables[name] for name in _TABLES))
    return Bank(tables["weight"], decaying, segments=record.segments), moments, record
