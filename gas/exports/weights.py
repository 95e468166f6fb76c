"""Reads weights in the safetensors format with torch and the standard library alone.

Every exported file carries this source, so that it needs no package but torch. gas itself writes weights with the
package `safetensors`; tests hold the two together.
"""

from __future__ import annotations

import json
import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Parameters whose shapes depend on the image's side: embeddings (1, N, C) or (1, C, H, W), tables of relative positions
# (offsets, heads) or (heads, offsets), dense biases (1, heads, N, M).
POSITIONS = ("position", "table", "bias")
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, on the CPU; ValueError where the file is damaged.

    The format: 8 bytes, the header's length as a little-endian integer; the header, JSON, from a tensor's name to its
    dtype, shape and place; then the raw numbers, little-endian, row by row.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"{path}: not a safetensors file, or cut off in its header")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError(f"{path}: the header is not JSON: {error}") from error
        data = file.read()
    tensors, covered = {}, 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: cannot read the header's entry for {name!r}: {entry}") from error
        if not 0 <= begin <= end <= len(data) or end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{path}: cut off or damaged at {name!r}: bytes {begin} to {end} of {len(data)}")
        covered += end - begin
        raw = bytearray(data[begin:end])  # a copy of its own: writable and aligned
        tensors[name] = torch.frombuffer(raw, dtype=dtype).reshape(shape) if raw else torch.empty(shape, dtype=dtype)
    if covered != len(data):
        raise ValueError(f"{path}: {len(data)} bytes of numbers; the header speaks of {covered}")
    return tensors


def load_weights(model: nn.Module, path: str | os.PathLike, *, strict: bool = True) -> list[str]:
    """Loads a safetensors file into a model; what was learned of positions is resized to the model's grid.

    Args:
        model: The model, changed in place.
        path: The file.
        strict: Whether every name and every other shape must agree. With False, those that do not (a head for other
            classes) are left as they are.

    Returns:
        Names that were left out: in one place only, or of another shape. Empty where everything agrees.
    """
    own = model.state_dict()
    given = {name: resized(name, t, own[name]) if name in own else t for name, t in read_safetensors(path).items()}
    fitting = {name: t for name, t in given.items() if name in own and t.shape == own[name].shape}
    left_out = sorted((given.keys() | own.keys()) - fitting.keys())
    if strict and left_out:
        raise ValueError(f"{path}: does not fit the model at {', '.join(left_out[:5])} ({len(left_out)} in all)")
    model.load_state_dict(fitting, strict=False)
    return left_out


def resized(name: str, values: Tensor, own: Tensor) -> Tensor:
    """What was learned of positions for one grid, for another (bicubic); anything else as it is.

    Args:
        name: Name of the parameter.
        values: What is given.
        own: The parameter that it shall be for.
    """
    last = name.rpartition(".")[2]
    if values.shape == own.shape or values.ndim != own.ndim or last not in POSITIONS or values.ndim == 1:
        return values
    if last == "position" and values.ndim == 4:  # a map
        return F.interpolate(values.float(), own.shape[2:], mode="bicubic", antialias=True).to(values.dtype)
    for dim, wanted in enumerate(own.shape):
        if values.shape[dim] != wanted:
            values = _along(values, dim, wanted)
    return values


def _along(values: Tensor, dim: int, wanted: int) -> Tensor:
    """Resizes along a dimension that counts the places of a square grid, perhaps behind a class token."""
    extra = int(math.isqrt(wanted) ** 2 != wanted)
    old, new = math.isqrt(values.shape[dim] - extra), math.isqrt(wanted - extra)
    if old**2 + extra != values.shape[dim] or new**2 + extra != wanted:
        return values
    rows = values.movedim(dim, -1)  # (..., places)
    first, grid = rows[..., :extra], rows[..., extra:].reshape(1, -1, old, old)
    grid = F.interpolate(grid.float(), (new, new), mode="bicubic", antialias=True).to(values.dtype)
    return torch.cat([first, grid.reshape(*first.shape[:-1], -1)], dim=-1).movedim(-1, dim)
