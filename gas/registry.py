"""Names for the things that a YAML file or a command may call for: one table per role, filled by decoration.

A table is filled by importing the modules of one package, each of which registers what it defines under the
module's own name. So adding a pattern, generator, proxy or target is adding one file: to the package, or to a folder of
one's own that the environment variable GAS_PLUGINS names. There `patterns/NAME.py` joins gas.patterns, and so on.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from gas.errors import SettingError, describe, unknown

PLUGINS = "GAS_PLUGINS"
"""Environment variable: folders, divided as those of PATH are."""

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from registered name to the thing registered.

    Args:
        role: What the table holds, for messages ("generator").
        package: Dotted name of the package whose modules fill the table; they are imported at the first look-up.
    """

    def __init__(self, role: str, package: str) -> None:
        self.role = role
        self._package = package
        self._table: dict[str, T] = {}
        self._filled = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters a thing under `name`; the same name twice raises ValueError."""

        def enter(thing: T) -> T:
            if name in self._table:
                raise ValueError(f"{self.role} {name!r} is registered twice")
            self._table[name] = thing
            return thing

        return enter

    def get(self, name: str) -> T:
        """The thing registered as `name`; UnknownNameError with the nearest name where there is none."""
        self._fill()
        if name not in self._table:
            raise unknown(self.role, name, self._table)
        return self._table[name]

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._fill()
        return sorted(self._table)

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True
        package = importlib.import_module(self._package)
        own = {module.name for module in pkgutil.iter_modules(package.__path__)}
        for name in sorted(own):
            importlib.import_module(f"{self._package}.{name}")
        before = list(package.__path__)
        try:
            for folder in plugins():
                self._join(folder / self._package.rpartition(".")[2], package.__path__, own)
        except SettingError:
            package.__path__[:] = before
            self._filled = False  # so that the next look-up says it again
            raise

    def _join(self, folder: Path, path: list[str], own: set[str]) -> None:
        """Makes the modules of a folder modules of the package."""
        if not folder.is_dir():
            return
        path.append(str(folder))
        for module in pkgutil.iter_modules([str(folder)]):
            file = folder / f"{module.name}.py"
            if module.name in own:
                raise SettingError(f"{PLUGINS}: got {file}; expected another name, because gas has a {module.name}")
            try:
                importlib.import_module(f"{self._package}.{module.name}")
            except Exception as error:
                said = " ".join(str(error).split())
                raise SettingError(f"{PLUGINS}: {file} cannot be imported: {type(error).__name__}: {said}") from error


def plugins() -> list[Path]:
    """The folders that GAS_PLUGINS names.

    Raises:
        SettingError: One of them is none.
    """
    folders = [Path(word) for word in os.environ.get(PLUGINS, "").split(os.pathsep) if word]
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f"{PLUGINS}: {describe(str(folder), 'a folder')}")
    return folders
