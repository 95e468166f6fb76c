"""The scripts of an experiment as modules, for the tests of that experiment."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@contextmanager
def scripts(experiment: str, names: Sequence[str]) -> Iterator[SimpleNamespace]:
    """Imports them; their names are gone from `sys` afterwards, as other experiments use them too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXPERIMENTS / experiment))
        found: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**found)
    for name in names:
        sys.modules.pop(name, None)
