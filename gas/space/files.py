"""Finding and loading spaces and designs by name or path.

A name may be a path, a bundled space (`turbovit.yaml`, `turbovit`), or a bundled design (`zoo/hiera_tiny`,
`hiera_tiny`). A path that exists wins over a bundled file of the same name.
"""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path

from gas.architecture import Architecture
from gas.errors import SpaceError, nearest
from gas.evaluation import Constraint
from gas.plan import plan
from gas.space.document import read_document, said
from gas.space.space import SearchSpace
from gas.space.tables import COSTS

SUFFIXES = (".yaml", ".yml")


def bundled_folder() -> Path:
    """The folder of bundled spaces: inside the installed package, or beside it in a checkout."""
    inside = Path(str(importlib.resources.files("gas"))) / "search_spaces"
    return inside if inside.is_dir() else inside.parent.parent / "search_spaces"


def bundled() -> dict[str, Path]:
    """Bundled files by name: `turbovit`, `tiny`, `zoo/hiera_tiny`, ..."""
    folder = bundled_folder()
    return {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(folder.rglob("*.yaml"))}


def find(name: str | Path, *, design: bool = False) -> Path:
    """The file that a name or path means; SpaceError naming the nearest where there is none.

    Args:
        name: Path or bundled name.
        design: Look in the zoo first: `turbovit` then means the published design, not the space.
    """
    path = Path(name)
    if os.path.isfile(path):  # Path.is_file raises where a name is too long
        return path
    if os.path.isdir(path):
        raise SpaceError([f"{name}: got a folder; expected a YAML file"])
    known = bundled()
    plain = path.with_suffix("").as_posix() if path.suffix in SUFFIXES else path.as_posix()
    order = (f"zoo/{plain}", plain) if design else (plain, f"zoo/{plain}")
    for candidate in order:
        if candidate in known:
            return known[candidate]
    near = nearest(plain, [*known, *(k.removeprefix("zoo/") for k in known)])
    hint = f"; did you mean {near!r}?" if near else ""
    raise SpaceError([f"{name}: no such file, and no bundled space or design of that name{hint}"])


def load_space(name: str | Path) -> SearchSpace:
    """A search space (or a design: a space with one member) from a path or bundled name.

    Raises:
        SpaceError: The file does not exist or is wrong; holds every problem with its line and column.
    """
    path = find(name)
    return space_from_text(_read(path), _shown(path), folder=path.parent)


def load(name: str | Path) -> Architecture:
    """A single design from a path or bundled name (`hiera_tiny`); SpaceError where something is left to decide."""
    path = find(name, design=True)
    return design_from_text(_read(path), _shown(path), stem=path.stem)


def design_from_text(text: str, file: str = "<text>", *, stem: str = "") -> Architecture:
    """A single design from YAML text; its constraints, if it states any, are not looked at."""
    space = SearchSpace(read_document(text, file))
    if not space.is_design:
        left = ", ".join(d.path for d in space.decisions[:3])
        got = f"got a search space with {len(space.decisions)} decisions ({left}, ...)"
        raise SpaceError([f"{file}: {got}; expected a single design"])
    design = space.realise(lambda decision, allowed: allowed[0], feasible=False).architecture
    return Architecture.from_dict(design.to_dict(), space.document.name or stem)


def space_from_text(
    text: str,
    file: str = "<text>",
    *,
    folder: Path | None = None,
    references: Mapping[str, Architecture] | None = None,
) -> SearchSpace:
    """A search space from YAML text.

    Args:
        text: The YAML.
        file: Its name, for messages.
        folder: Where the designs that it names (`of`, `compare`) are looked for before the bundled ones.
        references: Designs by name that are taken instead of looking for files (a run keeps its own).
    """
    document = read_document(text, file)
    wanted = [(c.of, f"constraints.{said(c.metric)}.of") for c in document.constraints if c.of]
    wanted += [(name, f"compare[{i}]") for i, name in enumerate(document.compare)]
    found: dict[str, Architecture] = dict(references or {})
    problems = []
    for name, path in wanted:
        try:
            found[name] = found.get(name) or _reference(name, folder)
        except SpaceError as error:
            line, column = document.place(path)
            problems.append(f"{document.file}:{line}:{column}: {path}: {'; '.join(error.problems)}")
    if problems:
        raise SpaceError(problems)
    return SearchSpace(document, [_resolved(c, found) for c in document.constraints], found)


def _reference(name: str, folder: Path | None) -> Architecture:
    beside = folder / name if folder else None
    return load(str(beside) if beside and os.path.isfile(beside) else name)


def _resolved(constraint: Constraint, references: Mapping[str, Architecture]) -> Constraint:
    """A relative bound on macs or params as an absolute one; others stay relative until they are measured."""
    if not constraint.of or constraint.metric not in COSTS:
        return constraint
    return constraint.resolved(getattr(plan(references[constraint.of]).cost, constraint.metric))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SpaceError([f"{path}: cannot be read: {reason}"]) from error


def _shown(path: Path) -> str:
    """The path as the user would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
