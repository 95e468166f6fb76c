"""Gathers the source of classes and functions with all that they use by name, so that it stands on torch alone.

A module's globals say what a name means, and its import statements how it came there: a definition of ours is copied
(and what it uses, first), a name from torch or the standard library becomes an import, anything else is refused.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
import sys
import textwrap
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from gas.errors import ExportError

OURS = "gas"
ALLOWED = sys.stdlib_module_names | {"torch"}


class Definitions:
    """The source of what was asked for, in an order in which everything stands before its use.

    Args:
        wanted: Classes and functions of ours, or of torch.
        without: Names of methods and attributes that classes are copied without.

    Raises:
        ExportError: Something uses a package other than torch, or two things of one name are needed.
    """

    def __init__(self, wanted: Iterable[Any] = (), *, without: Iterable[str] = ()) -> None:
        self._without = frozenset(without)
        self._sources: dict[str, str] = {}
        self._constants: list[str] = []  # those that use no definition of ours: they stand first, as in any module
        self._origins: dict[str, str] = {}
        self._imports: dict[str, tuple[str, str | None]] = {}  # bound name -> (module, name in it or None)
        for thing in wanted:
            self.add(thing)

    @property
    def names(self) -> set[str]:
        """Every name that is defined or imported."""
        return self._sources.keys() | self._imports.keys()

    def add(self, thing: Any) -> None:
        """Adds a class or function with all that it uses."""
        module = inspect.getmodule(thing)
        self._define(thing.__name__, module, _without(textwrap.dedent(inspect.getsource(thing)), self._without))

    def add_import(self, bound: str, module: str, name: str | None = None) -> None:
        """Adds `from module import name as bound`, or `import module as bound` where no name is given."""
        top = module.partition(".")[0]
        if top not in ALLOWED:
            raise ExportError(f"export: {bound} comes from the package {top!r}; expected torch or the standard library")
        if self._imports.setdefault(bound, (module, name)) != (module, name) or bound in self._sources:
            raise ExportError(f"export: the name {bound!r} means two things in the patterns of this design")

    def import_block(self) -> str:
        """The import statements, the standard library's first, in isort's order."""
        groups: tuple[list[str], list[str]] = ([], [])
        plain = sorted((module, bound) for bound, (module, name) in self._imports.items() if name is None)
        for module, bound in plain:
            groups[module.startswith("torch")].append(f"import {module}" + (f" as {bound}" if bound != module else ""))
        members: dict[str, list[str]] = {}
        for bound, (module, name) in self._imports.items():
            if name is not None:
                members.setdefault(module, []).append(name if name == bound else f"{name} as {bound}")
        for module in sorted(members):
            groups[module.startswith("torch")].append(f"from {module} import {', '.join(sorted(members[module]))}")
        return "\n\n".join("\n".join(group) for group in groups if group)

    def bodies(self) -> list[str]:
        """The sources of the classes and functions."""
        return [text for name, text in self._sources.items() if name not in self._constants]

    def constants(self) -> list[str]:
        """The sources of the assignments that stand before them."""
        return [self._sources[name] for name in self._constants]

    def _define(self, name: str, module: ModuleType, source: str) -> None:
        if name in self._origins:
            if self._origins[name] != module.__name__:
                raise ExportError(f"export: {self._origins[name]} and {module.__name__} both define {name!r}")
            return
        self._origins[name] = module.__name__
        tree = ast.parse(source)
        used_names = set(_global_names(source)) - {name}
        for used in sorted(used_names, key=source.index):
            self._resolve(used, module)
        self._sources[name] = source.strip()
        if isinstance(tree.body[0], ast.Assign | ast.AnnAssign) and not used_names & self._sources.keys():
            self._constants.append(name)

    def _resolve(self, name: str, module: ModuleType) -> None:
        """Finds out how `module` came by a name, and adds what that takes."""
        for statement in _statements(ast.parse(inspect.getsource(module)).body):
            match statement:
                case ast.Import(names=aliases):
                    for alias in aliases:
                        if (alias.asname or alias.name.partition(".")[0]) == name:
                            return self.add_import(name, alias.name)
                case ast.ImportFrom(module=source, names=aliases):
                    for alias in aliases:
                        if (alias.asname or alias.name) == name:
                            return self._from(name, source or "", alias.name)
                case ast.ClassDef(name=found) | ast.FunctionDef(name=found) if found == name:
                    return self.add(vars(module)[name])
                case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)):
                    if found == name:
                        text = ast.get_source_segment(inspect.getsource(module), statement)
                        return self._define(name, module, text)
        if not hasattr(builtins, name):
            raise ExportError(f"export: {module.__name__} uses {name!r}, which it neither imports nor defines")
        return None

    def _from(self, bound: str, module: str, name: str) -> None:
        if module.partition(".")[0] != OURS:
            return self.add_import(bound, module, name)
        if bound != name:
            raise ExportError(f"export: {module}.{name} is imported as {bound!r}; expected its own name")
        return self._resolve(name, sys.modules[module])


def _without(source: str, members: frozenset[str]) -> str:
    """The source of a class without some of its members, each with the blank lines behind it."""
    (thing,) = ast.parse(source).body
    lines = source.splitlines()
    for member in reversed(thing.body if isinstance(thing, ast.ClassDef) else []):
        if members & _bound(member):
            first, behind = min(n.lineno for n in (member, *getattr(member, "decorator_list", ()))), member.end_lineno
            while behind < len(lines) and not lines[behind].strip():
                behind += 1
            del lines[first - 1 : behind]
    return "\n".join(lines)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    match statement:
        case ast.FunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return set()


def _global_names(source: str) -> set[str]:
    """Names that a definition takes from its module."""
    free: set[str] = set()
    tables = [symtable.symtable(source, "<definition>", "exec")]
    while tables:
        table = tables.pop()
        free |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        tables += table.get_children()
    return free


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at a module's top level, those under `if TYPE_CHECKING` included."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _statements(statement.body)
        else:
            yield statement
