"""The package as text: which modules there are and what each imports. Nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gas"


@dataclass(frozen=True)
class Import:
    """One module named by an import statement."""

    target: str
    line: int
    at_top: bool  # runs when the importing module is imported: not inside a function
    for_types: bool  # under `if TYPE_CHECKING`


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    name: str
    path: Path

    @property
    def where(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def tree(self) -> ast.Module:
        return _parse(self.path)

    @property
    def layer(self) -> str:
        """The name by which the drawing of layers knows this module: `gas.costs.targets.cpu_eager` is `cost`."""
        return layer_of(self.name)


def layer_of(name: str) -> str:
    """First name under the package, or the package's own name for its top."""
    return name.split(".")[1] if "." in name else name


@cache
def modules(package: Path = PACKAGE) -> dict[str, Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path)
    return found


def imports_of(module: Module, known: frozenset[str]) -> list[Import]:
    """Every import of a module, each resolved to the module it lands in.

    `from gas.patterns import mlp` lands in `gas.patterns.mlp` where that is a module, else in `gas.patterns`.
    """
    found = []
    for node, at_top, for_types in _walk(module.tree):
        found += [Import(name, node.lineno, at_top, for_types) for name in _targets(module, node, known)]
    return found


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _walk(node: ast.AST, at_top: bool = True, for_types: bool = False) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, at_top, for_types
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _walk(child, at_top and not inside, for_types or guarded)


def _targets(module: Module, node: ast.AST, known: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(module, node)
        inner = [f"{base}.{alias.name}" for alias in node.names]
        return list(dict.fromkeys(name if name in known else base for name in inner))
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        # A name given as text is an import too; one that is computed cannot be read here.
        first = node.args[0] if node.args else None
        return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    return []


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.path.name == "__init__.py" else module.name.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
