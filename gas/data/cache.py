"""Where things are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$GAS_CACHE, or ~/.cache/gas."""
    return Path(os.environ.get("GAS_CACHE") or Path.home() / ".cache" / "gas")
