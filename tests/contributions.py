"""Registering things for one test alone, as if their files lay in the package, and taking them out again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gas.registry import Registry

FILES = Path(__file__).parent / "contributed"


@contextmanager
def registered(registry: Registry, register: Callable[[str], Callable], package: str, **things: Any) -> Iterator[None]:
    """Within it, the classes are registered by their keywords and say that they stand in a file of that name."""
    registry.names()  # filled first, or the filling would come in between
    try:
        for name, thing in things.items():
            thing.__module__ = f"{package}.{name}"
            register(name)(thing)
        yield
    finally:
        for name in things:
            registry._table.pop(name, None)


@contextmanager
def contributed(registry: Registry, package: str, name: str) -> Iterator[None]:
    """Within it, the file `contributed/NAME.py` is a module of the package, and registered as it says itself."""
    registry.names()
    path = importlib.import_module(package).__path__
    path.append(str(FILES))
    try:
        importlib.import_module(f"{package}.{name}")
        yield
    finally:
        path.remove(str(FILES))
        sys.modules.pop(f"{package}.{name}", None)
        registry._table.pop(name, None)
