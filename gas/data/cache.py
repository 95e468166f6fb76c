"""Where things are kept that can be made again, and how arrays are kept there."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# What reading a damaged archive has been seen to raise: damage may hit the lists, the packing or an array's shape.
_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def cache_folder() -> Path:
    """$GAS_CACHE, or ~/.cache/gas. Everything in it may be deleted at any time, and is made again when it is needed."""
    return Path(os.environ.get("GAS_CACHE") or Path.home() / ".cache" / "gas")


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray] | None:
    """Arrays that `write_arrays` kept; None where there is no such file, or a damaged one (checksums are looked at)."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except _DAMAGE:
        return None


def write_arrays(path: Path, arrays: Mapping[str, NDArray], *, compress: bool) -> None:
    """Renamed into place when complete, so that another worker never reads half a file; no folder or room, no cache."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            (np.savez_compressed if compress else np.savez)(file, **arrays)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
